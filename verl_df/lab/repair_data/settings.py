# SPDX-License-Identifier: Apache-2.0
"""What a sampled set depends on; most of it is an option of `sample`."""

import argparse
from dataclasses import MISSING, field, fields
from typing import Any

from verl_df.io.validation import checked
from verl_df.method.image_removal import REMOVALS

REFERENCES = ("sibling", "answer", "mixed", "preferred")


def _option(default: Any, text: str = "", **argument: Any) -> Any:
    """A field that is an option. text: its help; argument: more of `add_argument`."""
    return field(default=default, metadata={"help": text, **argument})


@checked
class SampleSettings:
    """The settings of a set, kept in `settings.json`. A run that goes on with other settings is refused.

    model: folder or hub name of the policy. data: RL parquet file; data_rows, data_bytes: its size, to notice another
    file of the same name. The others have their meaning as the help of their option.
    """

    model: str
    data: str
    data_rows: int
    data_bytes: int
    per_prompt: int = _option(8, "responses a prompt", metavar="G")
    temperature: float = _option(1.0)
    top_p: float = _option(1.0)
    max_tokens: int = _option(2048, "tokens of a response")
    image_removal: str = _option("blank", "what stands for the image in x_∅ (Eq. 3)", choices=REMOVALS)
    text_only_samples: int = _option(4, "responses to x_∅; 0: no filter", metavar="K")
    text_only_threshold: float = _option(
        0.5, "a prompt is dropped when at least this share of the K is right", metavar="SHARE"
    )
    reference: str = _option(
        "sibling",
        "a correct sibling, the annotated answer, a mix of both, or extra_info.preferred_response",
        choices=REFERENCES,
    )
    answer_share: float = _option(0.5, "of answers in --reference mixed", metavar="SHARE")
    answer_fallback: bool = _option(False, "the annotated answer where there is no correct sibling")
    reward_path: str | None = _option(None, "pkg://module or file of r_task (default: verl's own)", metavar="PATH")
    reward_name: str = _option("compute_score")
    seed: int = _option(0)


def add_setting_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that are settings of a set."""
    for setting in fields(SampleSettings):
        if setting.default is MISSING:
            continue
        argument = {"default": setting.default, **setting.metadata}
        if setting.default is False:
            argument["action"] = "store_true"
        elif setting.default is not None:
            argument |= {"type": type(setting.default), "help": f"{argument['help']} (default: %(default)s)".strip()}
        parser.add_argument(f"--{setting.name.replace('_', '-')}", **argument)
