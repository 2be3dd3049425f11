# SPDX-License-Identifier: Apache-2.0
"""What a sampled set depends on; most of it is an option of `sample`."""

from verl_df.io.validation import checked
from verl_df.lab.command_line import option
from verl_df.method.image_removal import REMOVALS

REFERENCES = ("sibling", "answer", "mixed", "preferred")


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
    per_prompt: int = option("responses a prompt", 8, metavar="G")
    temperature: float = option("of the responses", 1.0)
    top_p: float = option("nucleus of the responses", 1.0)
    max_tokens: int = option("tokens of a response", 2048)
    image_removal: str = option("what stands for the image in x_∅ (Eq. 3)", "blank", choices=REMOVALS)
    text_only_samples: int = option("responses to x_∅; 0: no filter", 4, metavar="K")
    text_only_threshold: float = option(
        "a prompt is dropped when at least this share of the K is right", 0.5, metavar="SHARE"
    )
    reference: str = option(
        "a correct sibling, the annotated answer, a mix of both, or extra_info.preferred_response",
        "sibling",
        choices=REFERENCES,
    )
    answer_share: float = option("of answers in --reference mixed", 0.5, metavar="SHARE")
    answer_fallback: bool = option("the annotated answer where there is no correct sibling", False)
    reward_path: str | None = option("pkg://module or file of r_task (default: verl's own)", None, metavar="PATH")
    reward_name: str = option("its name there", "compute_score")
    seed: int = option("of everything that is drawn", 0)
