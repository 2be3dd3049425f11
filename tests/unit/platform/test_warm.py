# SPDX-License-Identifier: Apache-2.0
"""The warm interpreter against the reference, a cold Python: whatever a program can see and do is the same.

The interpreters here are the real ones but for their list of imports, which is NumPy alone, so that they start in
half a second. End-to-end runs use the whole list.
"""

import fcntl
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import ray

from verl_df.platform import warm as product
from verl_df.platform.warm import ray_worker, running, stop

SECONDS = 60
IMPORTS = "def preload():\n    import numpy\n"


@dataclass(frozen=True)
class Warm:
    """A copy of the product's folder, and the folder of its sockets."""

    code: Path
    sockets: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VERL_DF_")}
        return {**kept, "VERL_DF_PYTHON": sys.executable, "VERL_DF_WARM_DIR": str(self.sockets)}

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        options = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "env": self.environment,
        } | options
        return subprocess.Popen([str(self.code / "python"), *arguments], **options)

    def run(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def servers(self) -> list[psutil.Process]:
        return [psutil.Process(pid) for pid, _ in running(self.sockets)]


def make(folder: Path, imports: str = IMPORTS, idle: str = "900.0") -> Warm:
    """A warm Python with these imports. Its sockets' path is short: Linux takes 107 characters."""
    code = folder / "warm"
    shutil.copytree(Path(product.__file__).parent, code)
    (code / "preload.py").write_text(imports)
    server = (code / "server.py").read_text()
    assert server.count("IDLE_SECONDS = 900.0") == 1
    (code / "server.py").write_text(server.replace("IDLE_SECONDS = 900.0", f"IDLE_SECONDS = {idle}"))
    return Warm(code, Path(tempfile.mkdtemp(prefix="warm", dir="/tmp")))


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    made = make(tmp_path_factory.mktemp("warm"))
    yield made
    stop(made.sockets)
    shutil.rmtree(made.sockets)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., Warm]]:
    """Makes warm Pythons that a test may break."""
    made: list[Warm] = []

    def build(**settings: str) -> Warm:
        made.append(make(tmp_path / str(len(made)), **settings))
        return made[-1]

    yield build
    for one in made:
        if one.sockets.exists():
            one.sockets.chmod(0o700)
            stop(one.sockets)
            shutil.rmtree(one.sockets)


def cold(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=SECONDS, **options)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that is to happen; a hang meets pytest's limit."""
    while not condition():
        time.sleep(0.02)


# ---- the same as cold ------------------------------------------------------------------------------------------------

SEEN = """
import json, os, resource, signal, sys
names = sorted(int(n) for n in os.listdir("/proc/self/fd"))
files = {n: os.readlink(f"/proc/self/fd/{n}") for n in names if os.path.exists(f"/proc/self/fd/{n}") and n > 2}
mask = os.umask(0)
main = sys.modules["__main__"]
json.dump({
    "argv": sys.argv, "orig": sys.orig_argv, "cwd": os.getcwd(), "path": sys.path, "executable": sys.executable,
    "environment": {k: v for k, v in os.environ.items() if k not in ("_", "PWD")},
    "native": sorted(k for k, v in os.environ.items() if k != "PWD" and os.popen(f'printf %s "${k}"').read() != v),
    "main": [__name__, globals().get("__file__"), getattr(__spec__, "name", None), main.__dict__ is globals()],
    "files": sorted(t for t in files.values() if t.endswith(".seen")), "umask": mask,
    "limits": resource.getrlimit(resource.RLIMIT_NOFILE), "core": resource.getrlimit(resource.RLIMIT_CORE),
    "nice": os.getpriority(os.PRIO_PROCESS, 0), "processors": sorted(os.sched_getaffinity(0)),
    "signals": {int(s): str(signal.getsignal(s)).split(" at ")[0] for s in signal.valid_signals()},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "streams": [(s.name, s.encoding, s.errors, s.line_buffering, s.mode) for s in (sys.stdin, sys.stdout, sys.stderr)],
    "input": sys.stdin.read(), "flags": [sys.flags.utf8_mode, sys.flags.safe_path, sys.flags.no_site],
}, sys.stdout)
"""


def prepare() -> None:
    """In the child before it starts: what a caller may have changed."""
    os.umask(0o027)
    os.nice(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    soft, hard = __import__("resource").getrlimit(7)
    __import__("resource").setrlimit(7, (soft - 1, hard))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])


@pytest.mark.parametrize("form", ["-c", "-m", "file", "-u -c"])
@pytest.mark.parametrize("prepared", [False, True])
def test_a_program_sees_what_it_sees_cold(warm: Warm, tmp_path: Path, form: str, prepared: bool) -> None:
    (tmp_path / "seen.py").write_text(SEEN)
    (tmp_path / "a.seen").touch()
    program = {"-c": ["-c", SEEN], "-m": ["-m", "seen"], "file": ["seen.py"], "-u -c": ["-u", "-c", SEEN]}[form]
    arguments = [*program, "a b", "", "--x=ü", "-c"]
    with open(tmp_path / "a.seen") as opened, open(tmp_path / "input", "w+") as given:
        given.write("what is read\nfrom standard input")
        given.flush()
        found = []
        for run in (cold, warm.run):
            given.seek(0)
            options = {"env": {**warm.environment, "OWN": "välue\n2"}, "cwd": tmp_path, "stdin": given}
            options |= {"pass_fds": [opened.fileno()], "preexec_fn": prepare if prepared else None}
            done = run(*arguments, **options)
            assert done.returncode == 0 and done.stderr == "", done.stderr
            found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    assert found[0]["files"] == [str(tmp_path / "a.seen")] and found[0]["input"].endswith("standard input")


ENDINGS = {
    "return": "pass",
    "zero": "import sys; sys.exit(0)",
    "three": "import sys; sys.exit(3)",
    "large": "import sys; sys.exit(259)",
    "text": "import sys; sys.exit('what went wrong')",
    "error": "def f():\n    raise ValueError('no')\nf()",
    "interrupt": "raise KeyboardInterrupt",
    "os._exit": "import os; os._exit(9)",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "kill": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "syntax": "1 +",
    "at exit": "import atexit; atexit.register(print, 'late'); print('early')",
    "thread": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(.2), print('thread'))).start()",
    "daemon": "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
    "open file": "f = open('left.txt', 'w'); f.write('kept')\ng = open('bytes', 'wb'); g.write(b'too')",
    "full disk": "print('x' * 10)",
}


@pytest.mark.parametrize("name", ENDINGS)
def test_a_program_ends_as_it_ends_cold(warm: Warm, tmp_path: Path, name: str) -> None:
    found = []
    for run in (cold, warm.run):
        folder = tmp_path / run.__name__
        folder.mkdir()
        done = run("-c", ENDINGS[name], cwd=folder, env={**warm.environment, "PYTHONUNBUFFERED": ""})
        files = {path.name: path.read_text() for path in folder.iterdir()}
        found.append((done.returncode, done.stdout, done.stderr, files))
    assert found[0] == found[1]


def test_a_full_disk_at_the_end(warm: Warm) -> None:
    environment = {**warm.environment, "PYTHONUNBUFFERED": ""}
    with open("/dev/full", "w") as full:
        codes = [
            subprocess.run([python, "-c", "print(1)"], stdout=full, stderr=subprocess.PIPE, env=environment).returncode
            for python in (sys.executable, str(warm.code / "python"))
        ]
    assert codes == [120, 120]


def test_standard_streams_that_are_closed(warm: Warm) -> None:
    program = "import sys, os; os.write(1, repr((sys.stdin, sys.stderr)).encode())"
    for python in (sys.executable, warm.code / "python"):
        command = ["sh", "-c", f"exec {python} -c '{program}' <&- 2>&-"]
        assert subprocess.run(command, env=warm.environment, stdout=subprocess.PIPE).stdout == b"(None, None)"


def test_more_descriptors_than_one_message_takes(warm: Warm, tmp_path: Path) -> None:
    opened = [os.open(tmp_path, os.O_RDONLY) for _ in range(300)]
    count = "import os; print(sum(os.path.exists(f'/proc/self/fd/{n}') for n in map(int, os.sys.argv[1].split(','))))"
    done = warm.run("-c", count, ",".join(map(str, opened)), pass_fds=opened)
    for number in opened:
        os.close(number)
    assert done.stdout == "300\n", done.stderr


def test_a_pipe_ends_when_the_program_closes_it(warm: Warm) -> None:
    reader, writer = os.pipe()
    process = warm.start("-c", f"import os, sys; os.close({writer}); sys.stdin.read()", pass_fds=[writer], stdin=-1)
    os.close(writer)
    assert os.read(reader, 1) == b"" and process.poll() is None
    process.communicate("", timeout=SECONDS)
    os.close(reader)


def test_an_exclusive_lock_is_the_programs_alone(warm: Warm, tmp_path: Path) -> None:
    program = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('locked', flush=True); "
    )
    process = warm.start("-c", program + "sys.stdin.read()", str(tmp_path / "lock"), stdin=-1)
    assert process.stdout.readline() == "locked\n"
    with open(tmp_path / "lock") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.communicate("", timeout=SECONDS)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_listing_of_processes_shows_the_program(warm: Warm) -> None:
    process = warm.start(
        "-c", "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()", stdin=subprocess.PIPE
    )
    twin = psutil.Process(int(process.stdout.readline()))
    assert " ".join(twin.cmdline()).startswith(f"{sys.executable} -c import os, sys")
    process.communicate("", timeout=SECONDS)


# ---- signals ---------------------------------------------------------------------------------------------------------

# Wakes now and then: a signal that comes just before a system call is handled after it.
LISTEN = """
import select, signal, sys
def heard(number, _):
    print("heard", signal.Signals(number).name, flush=True)
for name in sys.argv[1:]:
    signal.signal(signal.Signals[name], heard)
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.1)[0]:
    pass
"""
NAMES = ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT"]


def ignore_all() -> None:
    """As nohup and a shell's `&` leave some."""
    for name in NAMES:
        signal.signal(signal.Signals[name], signal.SIG_IGN)


@pytest.mark.parametrize("before", [None, ignore_all], ids=["", "ignored"])
def test_signals_reach_the_program(warm: Warm, before: Callable[[], None] | None) -> None:
    """A handler counts, also for a signal that the program was started to ignore."""
    process = warm.start("-c", LISTEN, *NAMES, stdin=subprocess.PIPE, preexec_fn=before)
    assert process.stdout.readline() == "ready\n"
    for name in NAMES:
        process.send_signal(signal.Signals[name])
        assert process.stdout.readline() == f"heard {name}\n"
    process.communicate("", timeout=SECONDS)
    assert process.returncode == 0


def test_what_a_program_was_started_to_ignore_it_ignores(warm: Warm) -> None:
    process = warm.start("-c", LISTEN, stdin=subprocess.PIPE, preexec_fn=ignore_all)
    assert process.stdout.readline() == "ready\n"
    for name in NAMES:
        process.send_signal(signal.Signals[name])
    assert process.communicate("", timeout=SECONDS) == ("", "") and process.returncode == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_a_signal_without_a_handler_ends_both(warm: Warm, name: str) -> None:
    process = warm.start("-c", LISTEN.replace("print(", "print(__import__('os').getpid(), "), stdin=subprocess.PIPE)
    twin = psutil.Process(int(process.stdout.readline().split()[0]))
    process.send_signal(signal.Signals[name])
    process.wait(SECONDS)
    assert process.returncode == -signal.Signals[name]
    until(lambda: not twin.is_running())


# ---- children, siblings ----------------------------------------------------------------------------------------------

CHILDREN = """
import multiprocessing, os, sys
def work(value):
    return value * 2, os.getppid(), sys.modules["numpy"].__name__
def fail():
    sys.exit(5)
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        print([value for value, _, _ in pool.map(work, range(4))])
    child = context.Process(target=fail)
    child.start()
    child.join()
    print(child.exitcode)
"""


def test_spawned_children_are_warm_and_do_their_work(warm: Warm, tmp_path: Path) -> None:
    (tmp_path / "children.py").write_text(CHILDREN)
    done = warm.run(str(tmp_path / "children.py"))
    assert done.stdout == "[0, 2, 4, 6]\n5\n" and done.returncode == 0, done.stderr


def test_siblings_draw_different_random_numbers(warm: Warm) -> None:
    draw = (
        "import random, uuid, secrets, tempfile, numpy, os; print(random.random(), numpy.random.rand(), uuid.uuid4(), "
    )
    draw += "secrets.token_hex(8), tempfile.mktemp(), numpy.random.default_rng().random(), os.urandom(4).hex())"
    first, second = (warm.run("-c", draw).stdout.split() for _ in range(2))
    assert len(first) == 7 and not set(first) & set(second)


def test_many_starts_at_once_share_one_interpreter(own: Callable[..., Warm]) -> None:
    warm = own()
    starts = [warm.start("-c", f"import os; print(os.getppid(), {number})") for number in range(12)]
    answers = [start.communicate(timeout=SECONDS)[0].split() for start in starts]
    assert [int(number) for _, number in answers] == list(range(12))
    assert {int(parent) for parent, _ in answers} == {server.pid for server in warm.servers()}


CONTEXTS = {
    "warm": {"py_executable": None, "env_vars": {"A": "a b", "B": "${HOME}/x", "C": "${NO_SUCH}y", "D": "$A"}},
    "another Python": {"py_executable": sys.executable, "env_vars": {"A": "1"}},
    "no environment": {"py_executable": None, "env_vars": None},
    "a prefix": {"py_executable": None, "command_prefix": ["E=1"]},
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_worker_of_ray_starts_as_by_rays_own_program(warm: Warm, name: str) -> None:
    """Same variables, same arguments; the reference is Ray's, which imports Ray."""
    context = {"command_prefix": [], "override_worker_entrypoint": None, "java_jars": [], **CONTEXTS[name]}
    context["py_executable"] = context["py_executable"] or str(warm.code / "python")
    show = "import os, sys; print([os.environ.get(n) for n in 'ABCDE'], sys.argv, sys.orig_argv)"
    arguments = ["-c", show, "--node-ip-address=127.0.0.1", "two words", "a'quote"]
    programs = [Path(ray.__file__).parent / "_private/workers/setup_worker.py", warm.code / "ray_worker.py"]
    found = []
    for program in programs:
        options = [f"--serialized-runtime-env-context={json.dumps(context)}", "--language=PYTHON"]
        done = cold(str(program), *options, *arguments, env=warm.environment)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    assert found[0] == found[1] and found[0]


def test_ray_takes_our_program_for_its_workers() -> None:
    constants = ModuleType("constants")
    with pytest.raises(AttributeError, match="SETUP_WORKER_FILENAME"):
        ray_worker.patch_ray_constants(constants)
    constants.SETUP_WORKER_FILENAME = "setup_worker.py"
    ray_worker.patch_ray_constants(constants)
    assert Path("/ray/workers", constants.SETUP_WORKER_FILENAME) == Path(ray_worker.__file__)
    assert (
        "ray_constants.SETUP_WORKER_FILENAME"
        in Path(ray.__file__).with_name("_private").joinpath("node.py").read_text()
    )


# ---- ends ------------------------------------------------------------------------------------------------------------

NEST = """
import os, subprocess, time
from multiprocessing import get_context
def work(here):
    here.set()
    time.sleep(600)
if __name__ == "__main__":
    here = get_context("spawn").Event()
    child = get_context("spawn").Process(target=work, args=(here,))
    child.start()
    plain = subprocess.Popen(["sleep", "600"])
    here.wait()
    print(os.getpid(), child.pid, plain.pid, flush=True)
    time.sleep(600)
"""


def started_family(warm: Warm, tmp_path: Path) -> tuple[subprocess.Popen, list[psutil.Process]]:
    (tmp_path / "nest.py").write_text(NEST)
    process = warm.start(str(tmp_path / "nest.py"))
    pids = [int(pid) for pid in process.stdout.readline().split()]
    (server,) = warm.servers()
    family = [psutil.Process(pid) for pid in pids] + server.children(recursive=True)
    assert len(set(family)) >= 4  # the twin, the child's stand-in and twin, sleep; the resource tracker
    return process, family


def all_gone(family: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)


@pytest.mark.parametrize("victim", ["stand-in", "twin"])
def test_nothing_is_left_of_a_program_that_is_killed(own: Callable[..., Warm], tmp_path: Path, victim: str) -> None:
    warm = own()
    process, family = started_family(warm, tmp_path)
    (process if victim == "stand-in" else family[0]).kill()
    assert process.wait(SECONDS) == -signal.SIGKILL
    until(lambda: all_gone(family))
    assert warm.run("-c", "print(1)").stdout == "1\n"  # the interpreter itself goes on


def test_nothing_is_left_when_the_warm_interpreter_is_killed(own: Callable[..., Warm], tmp_path: Path) -> None:
    warm = own()
    process, family = started_family(warm, tmp_path)
    (sleep,) = (one for one in set(family) if one.name() == "sleep")
    assert stop(warm.sockets) == 1
    assert process.wait(SECONDS) == -signal.SIGKILL
    until(lambda: all_gone([one for one in family if one != sleep]))
    sleep.kill()  # a child of a killed process, as anywhere
    assert warm.run("-c", "print(1)").stdout == "1\n"  # by a new one


def test_an_idle_interpreter_ends_and_one_with_work_does_not(own: Callable[..., Warm]) -> None:
    warm = own(idle="3.0")  # a machine may stand still for a while between its start and the first request
    process = warm.start("-c", "import sys; sys.stdin.read()", stdin=subprocess.PIPE)
    until(lambda: len(warm.servers()) == 1)
    (server,) = warm.servers()
    time.sleep(4.0)
    assert server.is_running() and process.poll() is None
    process.communicate("", timeout=SECONDS)
    until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    assert not list(warm.sockets.glob("*.socket"))


# ---- which interpreter, and when none --------------------------------------------------------------------------------

PARENT = "import os; print(os.getppid())"


def parents(warm: Warm, *environments: dict[str, str]) -> list[str]:
    return [warm.run("-c", PARENT, env={**warm.environment, **environment}).stdout for environment in environments]


def test_another_environment_is_another_interpreter(own: Callable[..., Warm]) -> None:
    warm = own()
    first, same, threads, hashes = parents(
        warm, {}, {"RAY_x": "1", "VLLM_PLUGINS": ""}, {"OMP_NUM_THREADS": "2"}, {"PYTHONHASHSEED": "7"}
    )
    assert first == same and len({first, threads, hashes}) == 3
    with (warm.code / "twin.py").open("a") as source:
        source.write("\n")
    assert parents(warm, {})[0] != first


def test_variables_that_an_import_sets_are_set(own: Callable[..., Warm]) -> None:
    imports = f"{IMPORTS}    import os\n    os.environ['SET'] = 'here'\n    os.environ['KEPT'] = 'here'\n"
    warm = own(imports=imports)
    show = "import os; print(os.environ['SET'], os.environ['KEPT'])"
    assert warm.run("-c", show).stdout == "here here\n"
    assert warm.run("-c", show, env={**warm.environment, "KEPT": "own"}).stdout == "here own\n"


BROKEN = {
    "an import that fails": (f"{IMPORTS}    import no_such_module\n", "No module named 'no_such_module'"),
    "a thread": (f"{IMPORTS}    import threading\n    threading.Timer(600, print).start()\n", "left threads"),
    "an open file": (f"{IMPORTS}    global f\n    f = open('/dev/zero')\n", "/dev/zero"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_imports_that_cannot_be_forked_are_named_in_the_log(own: Callable[..., Warm], name: str) -> None:
    imports, why = BROKEN[name]
    warm = own(imports=imports)
    done = warm.run("-c", "print(1)")
    assert (done.stdout, done.returncode) == ("1\n", 0)
    (line,) = done.stderr.splitlines()
    assert line.startswith("verl_df: starting Python cold: the warm interpreter did not start")
    assert why in Path(line.rpartition("see ")[2]).read_text()


def test_a_folder_that_others_may_write_to_is_not_used(own: Callable[..., Warm]) -> None:
    warm = own()
    warm.sockets.chmod(0o777)
    done = warm.run("-c", "print(1)")
    assert done.stdout == "1\n" and "is not a folder of user" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_socket_that_is_gone_is_made_anew(own: Callable[..., Warm]) -> None:
    warm = own()
    (first,) = parents(warm, {})
    (server,) = warm.servers()
    next(warm.sockets.glob("*.socket")).unlink()
    (second,) = parents(warm, {})
    server.kill()
    assert first != second


def test_an_interpreter_that_ends_while_it_is_asked(own: Callable[..., Warm]) -> None:
    """It was idle, say, and had not yet taken the connection: the program runs all the same, once."""
    warm = own()
    specification = importlib.util.spec_from_file_location("client_of_a_test", warm.code / "client.py")
    client = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(client)
    name = client.environment_key(sys.executable, warm.environment)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"{warm.sockets}/{name}.socket")
        listener.listen()
        process = warm.start("-c", "print('once')")
        listener.accept()[0].close()
        out, err = process.communicate(timeout=SECONDS)
    assert (out, process.returncode) == ("once\n", 0) and "the warm interpreter is gone" in err


@pytest.mark.parametrize("arguments", [["-V"], ["-O", "-c", "pass"], ["-"], ["."], []])
def test_what_cannot_be_forked_starts_cold_and_says_so(warm: Warm, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "__main__.py").touch()
    done = warm.run(*arguments, cwd=tmp_path, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and done.stderr.startswith("verl_df: starting Python cold: ")


def test_a_missing_program_fails_as_it_does_cold(warm: Warm, tmp_path: Path) -> None:
    done = warm.run("missing.py", cwd=tmp_path)
    assert done.returncode == 2 and "can't open file" in done.stderr
    for arguments in (["-m", "no_such_module"], ["-c", "import no_such_module"]):
        expected, found = cold(*arguments), warm.run(*arguments)
        assert found.returncode == expected.returncode == 1
        assert found.stderr.splitlines()[-1] == expected.stderr.splitlines()[-1]


def test_a_request_that_is_nonsense_is_refused_and_the_next_one_served(warm: Warm) -> None:
    (first,) = parents(warm, {})
    for path in warm.sockets.glob("*.socket"):
        for nonsense in (b"", b"\0\0\0\4nope", b"\xff"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(str(path))
                connection.sendall(nonsense)
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(1) == b""
    assert parents(warm, {}) == [first]
