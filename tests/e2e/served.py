# SPDX-License-Identifier: Apache-2.0
"""vLLM's own OpenAI-compatible server on the CPU, with a model of the toy's."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from verl_df.platform import warm
from verl_df.platform.environment import cpu_environment

START_SECONDS = 400


@dataclass(frozen=True)
class Served:
    """A server. url: base URL of its API."""

    url: str
    process: subprocess.Popen

    def kill(self) -> None:
        """End it and all that it started, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


@contextmanager
def served(model: Path, name: str, folder: Path, *options: str) -> Iterator[Served]:
    """The model under this name; gone after the block, if it was not killed before. folder: for its log."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [warm.python(), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", name, "--dtype", "float32"]
    command += ["--enforce-eager", "--kv-cache-memory-bytes", str(128 << 20), "--skip-mm-profiling"]
    command += ["--max-num-seqs", "16", *options]
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **cpu_environment()}, stdout=output, stderr=output, start_new_session=True
        )
    running = Served(f"http://127.0.0.1:{port}/v1", process)
    try:
        _wait_until_up(f"http://127.0.0.1:{port}/health", process, log)
        yield running
    finally:
        if process.returncode is None:
            running.kill()


def _wait_until_up(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"the server ended\n{log.read_text(errors='replace')[-4000:]}"
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(1)
    pytest.fail(f"the server is not up after {START_SECONDS} s\n{log.read_text(errors='replace')[-4000:]}")
