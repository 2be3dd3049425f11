# SPDX-License-Identifier: Apache-2.0
"""The merged model answers the validation problems in vLLM, greedily, as the trainer's rollout engine did."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.lab.checkpoint.validation import Solved
from verl_df.lab.command_line import check_at_least, option
from verl_df.lab.engine import Decoding, judged
from verl_df.lab.generation import Request, VLLMGenerator, prompt_text
from verl_df.lab.rl_data import RLData
from verl_df.lab.task_reward import TaskReward


@dataclass(frozen=True)
class ValidationSettings:
    """What the trainer's validation was run with; the fields are options of `verl-df checkpoint validate`."""

    data: Path = option("the run's data.val_files", metavar="PARQUET", required=True)
    max_tokens: int = option("the run's data.max_response_length", required=True)
    reward_path: str | None = option("pkg://module or file of r_task (default: verl's own)", None, metavar="PATH")
    reward_name: str = option("its function", "compute_score")
    max_model_len: int | None = option("the run's rollout.max_model_len (default: the model's)", None)
    dtype: str = option("the run's rollout.dtype; verl's is the default", "bfloat16")
    engine: dict[str, Any] = option("argument of vllm.LLM; repeat for more", {}, metavar="KEY=VALUE")


def solve(merged: Path, settings: ValidationSettings) -> list[Solved]:
    """Answer every row of the data and judge the answers.

    Raises:
        FileNotFoundError, ValueError: of the data, the reward or the model.
    """
    check_at_least(1, settings, "max_tokens")
    source = RLData(settings.data)
    source.check(range(source.rows))
    reward = TaskReward(settings.reward_path, settings.reward_name)
    greedy = Decoding(n=1, temperature=0.0, top_p=1.0, max_tokens=settings.max_tokens)
    options = {"max_model_len": settings.max_model_len, "dtype": settings.dtype, **settings.engine}
    with VLLMGenerator(str(merged), **options) as generator:
        asked = (
            (prompt, Request(prompt.messages, prompt.pictures(generator.patch_size), prompt.index))
            for prompt in source.prompts(range(source.rows))
        )
        return [
            Solved(
                row=one.row.index,
                data_source=one.row.data_source,
                prompt=_shown(generator, one.row.messages, len(one.row.images)),
                ground_truth=str(one.row.ground_truth),
                output=one.response.text,
                right=one.score,
            )
            for chunk in judged(asked, generator, greedy, 0, reward)
            for (one,) in chunk
        ]


def _shown(generator: VLLMGenerator, messages: list[dict[str, Any]], images: int) -> str:
    """The prompt as verl decodes it: chat form, without special tokens."""
    ids = generator.tokenizer.encode(prompt_text(generator.processor, messages, images), add_special_tokens=False)
    return generator.tokenizer.decode(ids, skip_special_tokens=True)
