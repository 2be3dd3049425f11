# SPDX-License-Identifier: Apache-2.0
"""What Ray 2.60 starts for each worker (`ray/_private/workers/setup_worker.py`), without importing Ray.

It sets the worker's variables and becomes the worker. Ray's own imports Ray for that, 0.6 s before every worker of a
run. This one does it where the worker is a Python that starts warm, and leaves every other case to Ray's.
"""

import argparse
import json
import os
import re
import runpy
import sys
from types import ModuleType

WARM_PYTHON = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python")
UNDERSTOOD = {"env_vars", "py_executable"}


def patch_ray_constants(constants: ModuleType) -> None:
    """`ray._private.ray_constants`: Ray joins its folder of workers with this name; an absolute path wins.

    Raises:
        AttributeError: Ray renamed the constant; see how it starts workers before raising the pin.
    """
    if "SETUP_WORKER_FILENAME" not in vars(constants):
        raise AttributeError("ray._private.ray_constants has no SETUP_WORKER_FILENAME: this was written for Ray 2.60.0")
    constants.SETUP_WORKER_FILENAME = os.path.abspath(__file__)


def main() -> None:
    """Become the worker."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serialized-runtime-env-context", default="{}")
    parser.add_argument("--language")
    arguments, worker = parser.parse_known_args()
    context = {name: value for name, value in json.loads(arguments.serialized_runtime_env_context).items() if value}
    if arguments.language != "PYTHON" or context.get("py_executable") != WARM_PYTHON or set(context) - UNDERSTOOD:
        runpy.run_module("ray._private.workers.setup_worker", run_name="__main__", alter_sys=True)
    for name, value in context.get("env_vars", {}).items():
        os.environ[name] = re.sub(r"\$\{[A-Z0-9_]+\}", "", os.path.expandvars(value))
    os.execv(WARM_PYTHON, [WARM_PYTHON, *worker])


if __name__ == "__main__":
    del sys.path[0]  # this folder
    main()
