# SPDX-License-Identifier: Apache-2.0
"""Options of the audit; a module of its own, so that the command line is read without torch."""

from dataclasses import dataclass

from verl_df.lab.command_line import option


@dataclass(frozen=True)
class BatchSettings:
    """How responses are sampled; each field is an option.

    Raises: ValueError for a number out of its range.
    """

    prompts: int = option("held-out problems of the toy world", 64, metavar="N")
    per_prompt: int = option("responses to each, at temperature 1", 8, metavar="N")

    def __post_init__(self) -> None:
        if self.prompts < 2 or self.per_prompt < 2:
            raise ValueError("--prompts and --per-prompt: 2 or more")
