# SPDX-License-Identifier: Apache-2.0
"""The watcher: a command neither hangs nor ends without a word, and leaves nothing behind. Tiny commands only.

The machine may be as slow as it likes: a test waits for what must happen, and where nothing must happen, the limit on
silence is generous.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests import ROOT
from verl_df.platform.watch.ending import WILL_STOP, Findings, own_end
from verl_df.platform.watch.parents import VARIABLE, ending_with_this_process, to_end_with
from verl_df.platform.watch.watcher import WAIT_AFTER_SIGNAL_S

GO_ON = "bash examples/quickstart.sh here"
SHORT, LONG = "1", "200"  # limits of commands that stall, and of commands that do not
TITLE = "this run did not come to its end"


def command(log: Path, limit: str, *argv: str, options: tuple[str, ...] = ()) -> list[str]:
    watch = [
        sys.executable,
        "-m",
        "verl_df.platform.watch",
        "--log",
        str(log),
        "--stall-limit",
        limit,
        "--go-on",
        GO_ON,
    ]
    return [*watch, "--kill-after", "2", *options, "--", *argv]


@dataclass(frozen=True)
class Watched:
    """How a watched command ended. told: the rows of the block, by name."""

    status: int
    out: str
    err: str
    log: str
    told: dict[str, str]


def ended(status: int, out: str, err: str, log: Path) -> Watched:
    rows = err.partition(TITLE)[2].splitlines()
    told = {row[2:14].strip(): row[14:] for row in rows if row.startswith("  ")}
    return Watched(status, out, err, log.read_text() if log.is_file() else "", told)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs/run.log"


def watched(log: Path, limit: str, *argv: str, options: tuple[str, ...] = (), **kwargs) -> Watched:
    run = subprocess.run(
        command(log, limit, *argv, options=options), cwd=ROOT, capture_output=True, text=True, timeout=240, **kwargs
    )
    return ended(run.returncode, run.stdout, run.stderr, log)


def shell(script: str) -> tuple[str, ...]:
    return "bash", "-c", script


def wait_for(what: Callable[[], bool]) -> None:
    """Until it is so; pytest's limit on the test ends a wait in vain."""
    while not what():
        time.sleep(0.02)


def gone(file: Path) -> bool:
    """Whether the process whose id is in the file has ended."""
    pid = int(file.read_text())
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def written(file: Path) -> bool:
    return file.is_file() and file.read_text().endswith("\n")


def test_success_is_passed_through_in_silence(log: Path) -> None:
    run = watched(
        log, LONG, *shell("read line; echo got $line; echo error >&2; sleep 2; printf half"), input="a line\n"
    )
    assert (run.status, run.out, run.err) == (0, "got a line\nhalf", "error\n")
    assert sorted(run.log.splitlines()) == sorted(["got a line", "error", "half"])


def test_binary_output_and_carriage_returns_arrive_unchanged(log: Path) -> None:
    program = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 2000)"
    run = subprocess.run(command(log, LONG, sys.executable, "-c", program), cwd=ROOT, capture_output=True, timeout=240)
    assert run.stdout == log.read_bytes() == bytes(range(256)) * 2000


@pytest.mark.parametrize("status", [1, 3, 124])
def test_a_failed_command_keeps_its_exit_status(log: Path, status: int) -> None:
    run = watched(log, LONG, *shell(f"echo the cause >&2; exit {status}"))
    assert run.status == status
    assert run.told["ended"] == f"it failed with exit status {status}"
    assert run.told["command"] == f"bash -c 'echo the cause >&2; exit {status}'"
    assert run.told["last line"] == "the cause"
    assert run.told["log"] == str(log) and run.log == "the cause\n"
    assert run.told["go on with"] == GO_ON


@pytest.mark.parametrize("script", ["kill -KILL $$", "bash -c 'kill -KILL $$'; exit $?"])
def test_a_signal_is_named(log: Path, script: str) -> None:
    run = watched(log, LONG, *shell(script))
    assert run.status == 128 + signal.SIGKILL
    assert "SIGKILL" in run.told["ended"] and "memory" in run.told["ended"] and run.told["go on with"] == GO_ON


@pytest.mark.parametrize("script", ["sleep 1000", "kill -STOP $$", "exec >&- 2>&-; sleep 1000"])
def test_silence_is_ended(log: Path, tmp_path: Path, script: str) -> None:
    run = watched(log, SHORT, *shell(f"echo $$ >{tmp_path}/pid; echo started; {script}"))
    assert run.status == 124 and run.out == "started\n"
    assert run.told["ended"] == "stopped after 1 s without any output (STALL_LIMIT)"
    assert run.told["log"] == str(log) and run.told["go on with"] == GO_ON and run.told["last line"] == "started"
    assert gone(tmp_path / "pid")


def test_a_command_that_a_signal_does_not_end_is_killed(log: Path, tmp_path: Path) -> None:
    run = watched(log, SHORT, *shell(f"trap '' TERM INT; echo $$ >{tmp_path}/pid; while :; do sleep 1; done"))
    assert run.status == 124 and gone(tmp_path / "pid")


def test_steady_output_is_never_ended(log: Path) -> None:
    """Longer than the limit in all, with gaps a hundred times shorter."""
    program = "import time\nfor i in range(110): print(i, flush=True); time.sleep(0.1)"
    run = watched(log, "10", sys.executable, "-c", program)
    assert run.status == 0 and len(run.out.splitlines()) == 110


@pytest.mark.parametrize("succeeds", [True, False])
def test_processes_that_left_group_and_session_are_ended(log: Path, tmp_path: Path, succeeds: bool) -> None:
    """Both nets: one process has lost its parent and its mark, another one ignores SIGTERM, in a session of its own."""
    script = f"""
        (setsid env -i {sys.executable} -c 'import os, time
print(os.getpid(), file=open("{tmp_path}/unmarked", "w"), flush=True); time.sleep(1000)' &)
        setsid bash -c 'trap "" TERM; echo $$ >{tmp_path}/stubborn; while :; do sleep 1; done' &
        until [ -s {tmp_path}/unmarked ] && [ -s {tmp_path}/stubborn ]; do sleep 0.05; done
        exit {int(not succeeds)}"""
    run = watched(log, LONG, *shell(script))
    assert run.status == int(not succeeds) and bool(run.told) is not succeeds
    assert gone(tmp_path / "unmarked") and gone(tmp_path / "stubborn")


def test_a_marked_process_of_somebody_else_is_ended(log: Path, tmp_path: Path) -> None:
    """As a warm interpreter's processes are: their parent is not the watcher's descendant."""
    script = f"""env >{tmp_path}/environment; echo >{tmp_path}/ready
        until [ -s {tmp_path}/pid ]; do sleep 0.05; done"""
    with subprocess.Popen(command(log, LONG, *shell(script)), cwd=ROOT) as watcher:
        wait_for(lambda: written(tmp_path / "ready"))
        lines = (tmp_path / "environment").read_text().splitlines()
        environment = dict(line.split("=", 1) for line in lines if line.startswith("VERL_DF_RUN_"))
        with subprocess.Popen(["sleep", "1000"], env={**os.environ, **environment}) as stranger:
            (tmp_path / "pid").write_text(f"{stranger.pid}\n")
            assert watcher.wait() == 0 and stranger.wait() == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_and_waited_for(log: Path, tmp_path: Path, number: signal.Signals) -> None:
    """The command gets the time to end well."""
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo tidied; exit 0' {name}; echo >{tmp_path}/ready; while :; do sleep 0.1; done"
    argv = command(log, LONG, *shell(script))
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watcher:
        wait_for(lambda: written(tmp_path / "ready"))
        watcher.send_signal(number)
        out, err = watcher.communicate()
    run = ended(watcher.returncode, out, err, log)
    assert run.status == 128 + number and run.out == "tidied\n" and "tidied" in run.log.splitlines()
    assert run.told["ended"] == "stopped by " + ("Ctrl-C" if number == signal.SIGINT else "SIGTERM")
    assert run.told["go on with"] == GO_ON


def test_a_second_ctrl_c_does_not_wait(log: Path, tmp_path: Path) -> None:
    script = f"trap '' INT TERM; echo $$ >{tmp_path}/pid; echo >{tmp_path}/ready; while :; do sleep 0.1; done"
    argv = command(log, LONG, *shell(script))
    with subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True) as watcher:
        wait_for(lambda: written(tmp_path / "ready"))
        watcher.send_signal(signal.SIGINT)
        assert "again" in watcher.stderr.readline()
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait() == 130 and gone(tmp_path / "pid")


STOPS_LATER = """
import os, signal, subprocess, sys, time
told, ready, late, status = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
asked = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: asked.append(number))
open(ready, "w").write("+\\n")
while not asked:
    time.sleep(0.02)
print(told, flush=True)
end = time.monotonic() + late
while len(asked) == 1 and time.monotonic() < end:
    time.sleep(0.02)
print("saved", flush=True)
sys.exit(status)
"""


def stopped(log: Path, tmp_path: Path, number: int, *arguments: str, options: tuple[str, ...] = ()) -> Watched:
    """A command that ends some time after a signal that it gets."""
    ready = tmp_path / "ready"
    argv = command(log, LONG, sys.executable, "-c", STOPS_LATER, WILL_STOP, str(ready), *arguments, options=options)
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watcher:
        wait_for(lambda: written(ready))
        watcher.send_signal(number)
        out, err = watcher.communicate()
    return ended(watcher.returncode, out, err, log)


@pytest.mark.parametrize(("number", "late"), [(signal.SIGINT, WAIT_AFTER_SIGNAL_S + 1), (signal.SIGTERM, 0)])
def test_a_command_that_will_stop_is_waited_for_longer(
    log: Path, tmp_path: Path, number: signal.Signals, late: float
) -> None:
    run = stopped(log, tmp_path, number, str(late), str(128 + number))
    what = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert run.out == f"{WILL_STOP}\nsaved\n" and run.status == 128 + number
    assert run.told["ended"] == f"stopped by {what}, in good order" and run.told["go on with"] == GO_ON


@pytest.mark.parametrize(
    ("status", "how"), [("0", ", when it had come to its end"), ("1", " before its step was done")]
)
def test_how_a_command_that_will_stop_ended(log: Path, tmp_path: Path, status: str, how: str) -> None:
    run = stopped(log, tmp_path, signal.SIGINT, "0", status)
    assert run.status == 130 and run.told["ended"] == f"stopped by Ctrl-C{how}"


def test_the_wait_for_a_stop_is_bounded(log: Path, tmp_path: Path) -> None:
    run = stopped(log, tmp_path, signal.SIGINT, "1000", "130", options=("--stop-limit", "0.5", "--brief"))
    assert run.status == 130 and run.told["ended"] == "stopped by Ctrl-C before its step was done"
    assert f"{WILL_STOP}; press Ctrl-C again to end now" in run.out


def test_sigterm_goes_to_the_command_alone(log: Path, tmp_path: Path) -> None:
    """Ray's daemons may be in its group, and a run needs them to the end of its step."""
    script = f"""trap '' INT; sleep 1000 & echo $! >{tmp_path}/daemon
        trap 'kill -0 $! && echo alive; exit 143' TERM; echo >{tmp_path}/ready; while :; do sleep 0.1; done"""
    argv = command(log, LONG, *shell(script))
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as watcher:
        wait_for(lambda: written(tmp_path / "ready"))
        watcher.terminate()
        out, _ = watcher.communicate()
    assert watcher.returncode == 143 and out == "alive\n" and gone(tmp_path / "daemon")


def test_the_end_of_the_script_ends_its_command(log: Path, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as script:
        argv = command(log, LONG, *shell(f"echo $$ >{tmp_path}/pid; sleep 1000"), options=("--script", str(script.pid)))
        with subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True) as watcher:
            wait_for(lambda: written(tmp_path / "pid"))
            script.kill()
            _, err = watcher.communicate()
    assert watcher.returncode == 143 and "the script that had started it was ended" in err and gone(tmp_path / "pid")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_ends_with_what_had_started_its_script(log: Path, tmp_path: Path, number: int) -> None:
    """As a session of tests does, or a study: through a shell that knows nothing of it."""
    pid, status = tmp_path / "pid", tmp_path / "status"
    argv = command(log, LONG, *shell(f"echo $$ >{pid}; sleep 1000"))
    script = f"{shlex.join(argv)}; echo $? >{status}.part; mv {status}.part {status}"
    session = f"""
import os, subprocess
from verl_df.platform.watch.parents import ending_with_this_process
subprocess.run(["bash", "-c", {script!r}], env=ending_with_this_process(os.environ))
"""
    with subprocess.Popen([sys.executable, "-c", session], cwd=ROOT) as parent:
        wait_for(lambda: written(pid))
        parent.send_signal(number)
    wait_for(lambda: written(status))
    assert status.read_text() == "143\n" and gone(pid)


def test_processes_to_end_with_add_up() -> None:
    assert to_end_with(ending_with_this_process({})) == (os.getpid(),)
    assert to_end_with(ending_with_this_process({VARIABLE: "1 22"})) == (1, 22, os.getpid())


def test_what_is_no_process_id_is_refused(log: Path) -> None:
    run = watched(log, LONG, "true", env={**os.environ, VARIABLE: "1,2"})
    assert run.status == 2 and f"{VARIABLE}='1,2': expected process ids" in run.err


def test_the_command_ends_with_a_watcher_that_is_killed(log: Path, tmp_path: Path) -> None:
    argv = command(log, LONG, *shell(f"echo $$ >{tmp_path}/pid; exec sleep 1000"))
    with subprocess.Popen(argv, cwd=ROOT) as watcher:
        wait_for(lambda: written(tmp_path / "pid"))
        watcher.kill()
    wait_for(lambda: gone(tmp_path / "pid"))


@pytest.mark.parametrize("full", ["log", "output"])
def test_a_full_disk_is_told(log: Path, tmp_path: Path, full: str) -> None:
    argv = command(Path("/dev/full") if full == "log" else log, LONG, *shell(f"echo $$ >{tmp_path}/pid; sleep 1000"))
    argv[-1] = f"echo something; {argv[-1]}"
    with open("/dev/full" if full == "output" else tmp_path / "out", "w") as out:
        run = subprocess.run(argv, cwd=ROOT, stdout=out, stderr=subprocess.PIPE, text=True, timeout=240)
    told = ended(run.returncode, "", run.stderr, log).told
    assert run.returncode == 1 and told["ended"] == "the disk is full: its output could not be written"
    assert told["log"] == ("/dev/full" if full == "log" else str(log)) and told["go on with"] == GO_ON
    assert not (tmp_path / "pid").exists() or gone(tmp_path / "pid")


def test_a_full_disk_of_the_command_is_told(log: Path) -> None:
    run = watched(log, LONG, *shell("echo x >/dev/full"))
    assert run.status == 1
    assert run.told["found"].startswith("the disk is full: ") and "No space left on device" in run.told["found"]


def test_a_dead_worker_is_told_when_the_run_hangs(log: Path) -> None:
    lines = ("ray.exceptions.ActorDiedError: gone", "  class_name: Server")
    run = watched(log, SHORT, *shell(f"echo '{lines[0]}'; echo '{lines[1]}'; sleep 1000"))
    assert run.status == 124
    assert run.told["found"] == "a Ray worker died (Server): ray.exceptions.ActorDiedError: gone"


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.", "a vLLM engine died"),
        ("[shutdown] MPClient: engine core exited unexpectedly; starting cleanup", "a vLLM engine died"),
        ("Worker proc VllmWorker-0 died unexpectedly, shutting down executor.", "a vLLM worker died"),
        ("(raylet) A worker died or was killed while executing a task", "a Ray worker died"),
        ("ray.exceptions.ActorUnavailableError: The actor is temporarily unavailable", "a Ray worker died"),
        ("\x1b[36m(A pid=1)\x1b[0m OSError: [Errno 28] No space left on device: 'x'", "the disk is full"),
        ("RuntimeError: [enforce fail at inline_container.cc:672] . unexpected pos 128 vs 0", "the disk is full"),
        ("step:1 - actor/loss:0.1", None),
    ],
)
def test_signs_of_the_end(line: str, meaning: str | None) -> None:
    findings = Findings()
    findings.take(line)
    assert list(findings.signs) == [meaning] * (meaning is not None)


def test_a_chatty_process_that_stays_behind_is_ended(log: Path, tmp_path: Path) -> None:
    run = watched(log, LONG, *shell(f"yes & echo $! >{tmp_path}/pid"))
    assert run.status == 0 and gone(tmp_path / "pid")


def test_nobody_reads_the_output(log: Path) -> None:
    """As with `| head -1`: the run goes on, and the log has it all."""
    argv = command(log, LONG, *shell("for i in 1 2 3 4 5; do echo $i; sleep 0.1; done"))
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as watcher:
        watcher.stdout.close()
        assert watcher.wait() == 0
    assert log.read_text() == "1\n2\n3\n4\n5\n"


def test_the_log_before_is_kept(log: Path) -> None:
    for text in ("one", "two", "three"):
        watched(log, LONG, "echo", text)
    assert [log.read_text(), log.with_name("run.previous.log").read_text()] == ["three\n", "two\n"]


def test_brief_output_is_what_lines_mean(log: Path) -> None:
    lines = ["noise", "Started a local Ray instance", "step:3 - critic/score/mean:0.5 - timing_s/step:8.0"]
    script = "\n".join(f"echo '{line}'" for line in lines)
    run = watched(log, LONG, *shell(script), options=("--brief",))
    assert "noise" not in run.out and "Ray is up" in run.out and "step   3  reward 0.50  step 8.0 s" in run.out
    assert run.log == "\n".join(lines) + "\n"
    failed = watched(log, LONG, *shell("echo 'ValueError: the cause' >&2; exit 1"), options=("--brief",))
    assert "ValueError: the cause" in failed.err and failed.told["log"] == str(log)


def test_a_command_that_does_not_exist(log: Path) -> None:
    run = watched(log, LONG, "no-such-program")
    assert run.status == 127 and "no-such-program" in run.told["ended"]


@pytest.mark.parametrize(("argv", "message"), [((), "no command after --"), (("true",), "--stall-limit 0")])
def test_a_wrong_call_is_refused(log: Path, argv: tuple[str, ...], message: str) -> None:
    run = watched(log, LONG if not argv else "0", *argv)
    assert run.status == 2 and message in run.err


def test_success_says_nothing() -> None:
    assert own_end(0).why == ""
