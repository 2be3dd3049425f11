# SPDX-License-Identifier: Apache-2.0
"""Keep verl's and DF's messages in processes that import vLLM's server.

vLLM 0.24.0 imports `model_hosting_container_standards`, which on import sets the root logger and all of its handlers to
ERROR: from then on no INFO and no WARNING of anybody is seen, "repair engine ready" and DF's own warnings among them.
"""

import logging
import os
from types import ModuleType

from wrapt import when_imported

# Variables of that package; who sets one has chosen.
CHOSEN_BY = ("SAGEMAKER_CONTAINER_LOG_LEVEL", "LOG_LEVEL")


def apply() -> None:
    """Undo it right after it happens. Does nothing where one of `CHOSEN_BY` is set."""
    when_imported("model_hosting_container_standards.logging_config")(_undo)


def _undo(_: ModuleType) -> None:
    if any(name in os.environ for name in CHOSEN_BY):
        return
    logging.root.setLevel(logging.WARNING)
    for handler in logging.root.handlers:
        if handler.level == logging.ERROR:
            handler.setLevel(logging.NOTSET)
