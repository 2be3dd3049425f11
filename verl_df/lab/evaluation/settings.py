# SPDX-License-Identifier: Apache-2.0
"""What one evaluation depends on, as it is kept in settings.json."""

from dataclasses import dataclass, field
from typing import Any

from verl_df.lab.evaluation.sampling import Decoding

REWARD = "pkg://verl_df.judges.score"


@dataclass(frozen=True)
class EvaluationSettings:
    """All settings of an evaluation.

    name: of the model, in the summary. model: Hugging Face folder, or the name under which a server serves it; None:
    merged from `checkpoint`. data: RL parquet by name of the data set. greedy: the likeliest token always; then there
    is one response and one seed, for all would be the same. temperature: the paper's rollouts use 0.7; it does not say
    what its evaluations use. limit: problems of each data set, drawn with seed 0; None: all. server: an
    OpenAI-compatible server answers. The others are those of the command line.

    Raises: ValueError for a value out of its range.
    """

    name: str
    model: str | None
    data: dict[str, str]
    checkpoint: str | None = None
    server: bool = False
    server_url: str | None = None
    api_key_env: str | None = None
    timeout_s: float = 600.0
    concurrency: int = 32
    n: int = 1
    temperature: float = 0.7
    top_p: float = 1.0
    greedy: bool = False
    max_tokens: int = 4096
    seeds: int = 5
    seed: int = 0
    limit: int | None = None
    reward_path: str = REWARD
    reward_name: str = "compute_score"
    reward_workers: int = 1
    max_model_len: int | None = None
    dtype: str = "auto"
    trust_remote_code: bool = False
    engine: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("n", "seeds", "reward_workers", "concurrency", "max_tokens", "limit", "max_model_len"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"--{name.replace('_', '-')} is {value}: at least 1")
        if not self.greedy and not (self.temperature > 0 and 0 < self.top_p <= 1):
            raise ValueError("--temperature must be above 0 and --top-p in (0, 1]; for temperature 0 give --greedy")
        if self.greedy and (self.n, self.seeds) != (1, 1):
            raise ValueError("--greedy gives the same response again: leave --n and --seeds out")
        if (self.model is None) == (self.checkpoint is None):
            raise ValueError("give either --model NAME=FOLDER or --checkpoint NAME=DIR")
        if self.server and self.model is None:
            raise ValueError("--server needs --model NAME=SERVED_NAME; merge the checkpoint and serve it")

    @property
    def decoding(self) -> Decoding:
        """How problems are answered."""
        if self.greedy:
            return Decoding(1, 0.0, 1.0, self.max_tokens)
        return Decoding(self.n, self.temperature, self.top_p, self.max_tokens)

    @property
    def all_seeds(self) -> range:
        """The sampling seeds."""
        return range(self.seed, self.seed + self.seeds)
