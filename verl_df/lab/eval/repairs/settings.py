# SPDX-License-Identifier: Apache-2.0
"""What one evaluation of repair models depends on, as it is kept in settings.json."""

from dataclasses import dataclass
from typing import Any

from verl_df.lab.command_line import check_at_least, option
from verl_df.method.image_removal import REMOVALS

AGAIN, COPY = "answer again", "copy the reference"


@dataclass(frozen=True)
class RepairSettings:
    """All settings of an evaluation, which are the options of `verl-df repair-eval`.

    Attributes:
        policy: model folder; None: no "answer again".
        max_tokens: None: twice the longest response of the data.

    Raises: ValueError for a value out of its range.
    """

    data: str = option("repair-task rows", metavar="PARQUET")
    repair: dict[str, str] = option("a repair model; repeat for more", metavar="NAME=MODEL")
    policy: str | None = option(
        "the policy, for the baseline that answers again (default: left out)", None, metavar="MODEL"
    )
    n: int = option("samples per response and seed", 2)
    temperature: float = option("of the softmax", 1.0)
    top_p: float = option("share of the probability that tokens are drawn from", 1.0)
    max_tokens: int | None = option("tokens of a repair (default: twice the longest response of the data)", None)
    seeds: int = option("sampling seeds", 3)
    seed: int = option("the first of them", 0)
    greedy: bool = option("a greedy sample besides", False)
    limit: int | None = option("rows to read (default: all)", None)
    threshold: float = option("r_task from which an answer is right", 1.0)
    image_removal: str | None = option("generate right answers again without the image", None, choices=REMOVALS)
    prompt_template: str | None = option("repair prompt (default: the packaged repair.txt)", None, metavar="FILE")
    reward_path: str | None = option("pkg://module or file of r_task (default: verl's own)", None, metavar="PATH")
    reward_name: str = option("its function", "compute_score")
    reward_workers: int = option("answers judged at a time", 1)
    truth_path: str | None = option("pkg://module or file of the true error mask", None, metavar="PATH")
    truth_name: str = option("its function", "error_mask")
    max_model_len: int | None = option("tokens of prompt and response (default: the model's)", None)
    dtype: str = option("of weights and activations", "auto")
    engine: dict[str, Any] | None = option("argument of vllm.LLM; repeat for more", None, metavar="KEY=VALUE")

    def __post_init__(self) -> None:
        check_at_least(1, self, "n", "seeds", "reward_workers", "max_tokens", "limit")
        if not 0 < self.threshold <= 1:
            raise ValueError(f"--threshold is {self.threshold}: must lie in (0, 1]")
        if not (self.temperature > 0 and 0 < self.top_p <= 1):
            raise ValueError("--temperature must be above 0 and --top-p in (0, 1]; --greedy adds greedy samples")
        taken = sorted({AGAIN, COPY} & self.repair.keys())
        if taken or any("#" in name for name in self.repair):
            raise ValueError(f"a repair model cannot be named {', '.join(taken) or 'with #'}: choose another NAME")
