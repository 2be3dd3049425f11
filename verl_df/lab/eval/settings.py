# SPDX-License-Identifier: Apache-2.0
"""What one evaluation on benchmarks depends on, as it is kept in settings.json."""

from dataclasses import dataclass
from typing import Any

from verl_df.lab.command_line import check_at_least, option
from verl_df.lab.engine import Decoding

REWARD = "pkg://verl_df.judges.score"


@dataclass(frozen=True)
class BenchmarkSettings:
    """All settings of an evaluation; those with a text are options of `verl-df eval run`.

    Attributes:
        name: of the model, in the summary.
        model: Hugging Face folder, or the name under which a server serves it; None: merged from `checkpoint`.
        checkpoint: of verl's.
        server: whether an OpenAI-compatible server answers.
        greedy: there is one response and one seed, for all would be the same.
        temperature: the paper's rollouts use 0.7; it does not say what its evaluations use.

    Raises: ValueError for a value out of its range.
    """

    name: str
    model: str | None
    data: dict[str, str] = option("RL rows; repeat for more", metavar="NAME=PARQUET", required=True)
    checkpoint: str | None = None
    server: bool = False
    server_url: str | None = option(
        "an OpenAI-compatible server instead, such as vllm serve", None, flag="--server", metavar="URL"
    )
    api_key_env: str | None = option(
        "environment variable with the server's key (default: no key)", None, metavar="NAME"
    )
    timeout_s: float = option("seconds for one response of a server", 600.0)
    concurrency: int = option("a server's responses at a time", 32)
    n: int = option("responses per problem and seed", 1)
    temperature: float = option("of the softmax", 0.7)
    top_p: float = option("share of the probability that tokens are drawn from", 1.0)
    greedy: bool = option("the likeliest token always, as verl validates by default", False)
    max_tokens: int = option("tokens of a response", 4096)
    seeds: int = option("sampling seeds; 1 with --greedy", 5)
    seed: int = option("the first of them", 0)
    limit: int | None = option("problems of each data set, drawn at random with seed 0 (default: all)", None)
    reward_path: str = option("pkg://module or file of the score", REWARD, metavar="PATH")
    reward_name: str = option("its function", "compute_score")
    reward_workers: int = option("answers scored at a time", 1)
    max_model_len: int | None = option("tokens of prompt and response (default: the model's)", None)
    dtype: str = option("of weights and activations", "auto")
    trust_remote_code: bool = option("run code that lies in the model's folder", False)
    engine: dict[str, Any] = option("argument of vllm.LLM; repeat for more", {}, metavar="KEY=VALUE")

    def __post_init__(self) -> None:
        check_at_least(1, self, "n", "seeds", "reward_workers", "concurrency", "max_tokens", "limit", "max_model_len")
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
