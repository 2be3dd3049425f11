# SPDX-License-Identifier: Apache-2.0
"""What the tests of the objectives share: a small network, random batches of rollouts, and verl's calls on them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from tensordict import TensorDict
from verl import DataProto
from verl.trainer.config import AlgoConfig
from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories
from verl.utils import tensordict_utils as tu
from verl.workers.config import FSDPActorConfig, PolicyLossConfig

from verl_df.adapters.policy_training import advantage  # noqa: F401  registers the estimators
from verl_df.adapters.policy_training.row_fields import IS_REPAIR, RowFields, use_row_fields
from verl_df.settings.objectives import ESTIMATORS, FIXED_AGGREGATION, LOSSES, Objective, load_objectives

VOCABULARY, WIDTH = 7, 4
GAMMA, LAM = 0.9, 0.8
KL_COEF = 0.3
# ε_low, ε_high and the dual clip's c, chosen so that ratios between 1/e and e come to lie on every side of them.
TOKEN_CLIP, DAPO_CLIP, SEQUENCE_CLIP = (0.2, 0.2, 1.8), (0.2, 0.28, 2.0), (0.1, 0.15, None)
GATES = ("binary", "soft", "zero", "one", "above one")
AGGREGATIONS = ("token-mean", "token-sum", "seq-mean-token-sum", "seq-mean-token-sum-norm", "seq-mean-token-mean")
OBJECTIVES = load_objectives()


def objective_of(estimator: str, loss: str) -> Objective:
    """An objective on two of verl's parts, whether a file of the recipe has it or not."""
    aggregation = FIXED_AGGREGATION.get(loss, "token-mean")
    return Objective(f"{estimator}+{loss}", "", "", estimator, loss, aggregation, "gate_only", {})


def _distinct(objectives: Sequence[Objective]) -> dict[str, Objective]:
    """Those that differ in what reaches a loss, by name."""
    parts = {(one.base_estimator, one.base_loss, one.aggregation, bool(one.clip)): one for one in objectives[::-1]}
    return {one.name: one for one in reversed(parts.values())}


# Every objective of the recipe, every estimator with PPO's loss, and every loss with GRPO's advantages.
ALL = _distinct(
    [
        *OBJECTIVES.values(),
        *(objective_of(estimator, "vanilla") for estimator in ESTIMATORS),
        *(objective_of("grpo", loss) for loss in LOSSES),
    ]
)


def clip_of(objective: Objective) -> tuple[float, float, float | None]:
    if objective.ratio == "sequence":
        return SEQUENCE_CLIP
    return DAPO_CLIP if objective.clip else TOKEN_CLIP


def actor_config(**changes: object) -> FSDPActorConfig:
    settings = {"strategy": "fsdp", "rollout_n": 4, "ppo_mini_batch_size": 4, "ppo_micro_batch_size_per_gpu": 2}
    return FSDPActorConfig(**(settings | {"use_dynamic_bsz": True, "clip_ratio_high": 0.3} | changes))


def nested(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


@dataclass(frozen=True)
class Row:
    """A rollout or a repair, lists per response token. `own` is 1 on the policy's tokens and 0 on a tool's."""

    uid: str
    prompt: list[int]
    tokens: list[int]
    own: list[int]
    rewards: list[float]
    values: list[float]
    gate: list[float]
    is_repair: bool
    old_shift: list[float]
    ref_shift: list[float]


class Policy(torch.nn.Module):
    """Embedding and linear layer: the next token depends on the one before."""

    def __init__(self, seed: int, dtype: torch.dtype) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.embedding = torch.nn.Parameter(torch.randn(VOCABULARY, WIDTH, generator=generator, dtype=dtype))
        self.head = torch.nn.Parameter(torch.randn(WIDTH, VOCABULARY, generator=generator, dtype=dtype))

    def forward(self) -> torch.Tensor:
        """log π(next | token) for all pairs, [vocabulary, vocabulary]."""
        return torch.log_softmax(self.embedding @ self.head, dim=-1)


@dataclass(frozen=True)
class Case:
    """A batch of rows, the current policy, and log-probabilities of its earlier selves: plain numbers per token."""

    policy: Policy
    rows: list[Row]
    old_log_prob: list[list[float]]
    ref_log_prob: list[list[float]]

    @property
    def dtype(self) -> torch.dtype:
        return self.policy.head.dtype

    def padded(self, lists: Sequence[Sequence[float]], dtype: torch.dtype | None = None) -> torch.Tensor:
        """[rows, response_length], zeros at the end."""
        length = max(len(one) for one in lists)
        return torch.tensor([[*one, *[0] * (length - len(one))] for one in lists], dtype=dtype or self.dtype)

    @property
    def mask(self) -> torch.Tensor:
        return self.padded([row.own for row in self.rows], torch.int64)

    @property
    def gate(self) -> torch.Tensor:
        return self.padded([row.gate for row in self.rows], torch.float32)

    @property
    def is_repair(self) -> torch.Tensor:
        return torch.tensor([[int(row.is_repair)] for row in self.rows])

    @property
    def values(self) -> torch.Tensor:
        return self.padded([row.values for row in self.rows])

    def log_prob(self) -> torch.Tensor:
        """Of the response tokens under the policy, padded, with its graph."""
        table = self.policy()
        rows = [table[context(row), row.tokens] for row in self.rows]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def context(row: Row) -> list[int]:
    """The token before each response token."""
    return [row.prompt[-1], *row.tokens[:-1]]


# ---- random batches --------------------------------------------------------------------------------------------------


def make_case(
    sizes: Sequence[int],
    seed: int,
    gates: str,
    dense: bool = False,
    empty_rows: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Case:
    """A random batch.

    Args:
        sizes: rows of each group.
        gates: one of GATES.
        dense: rewards on every token, as with a KL penalty in the reward, instead of on the last.
        empty_rows: rows without a token of the policy, which verl adds to fill a batch.
    """
    rng = random.Random(seed)
    rows = [make_row(rng, f"g{group}", gates, dense) for group, size in enumerate(sizes) for _ in range(size)]
    rows += [empty_row(f"empty{number}") for number in range(empty_rows)]
    rng.shuffle(rows)
    policy = Policy(seed, dtype)
    with torch.no_grad():
        table = policy().tolist()
    now = [[table[before][token] for before, token in zip(context(row), row.tokens, strict=True)] for row in rows]
    old, ref = (
        [[one + by for one, by in zip(line, shift, strict=True)] for line, shift in zip(now, shifts, strict=True)]
        for shifts in ([row.old_shift for row in rows], [row.ref_shift for row in rows])
    )
    return Case(policy, rows, old, ref)


def make_row(rng: random.Random, uid: str, gates: str, dense: bool) -> Row:
    length = rng.randint(1, 6)
    own = [int(rng.random() < 0.85) for _ in range(length)]
    own[-1] = 1
    rewards = [rng.uniform(-0.2, 0.2) * one if dense else 0.0 for one in own]
    rewards[-1] += rng.choice([-0.5, 0.0, 0.25, 1.0])
    draw: dict[str, Callable[[], float]] = {
        "binary": lambda: rng.randint(0, 1),
        "soft": rng.random,
        "zero": lambda: 0,
        "one": lambda: 1,
        "above one": lambda: 3 * rng.random(),
    }
    return Row(
        uid=uid,
        prompt=[rng.randrange(VOCABULARY) for _ in range(rng.randint(1, 3))],
        tokens=[rng.randrange(VOCABULARY) for _ in range(length)],
        own=own,
        rewards=rewards,
        values=[rng.uniform(-1, 1) for _ in range(length)],
        gate=[float(np.float32(draw[gates]() * one)) for one in own],
        is_repair=rng.random() < 0.5,
        old_shift=[rng.uniform(-1, 1) for _ in range(length)],
        ref_shift=[rng.uniform(-1, 1) for _ in range(length)],
    )


def empty_row(uid: str) -> Row:
    return Row(
        uid=uid,
        prompt=[0],
        tokens=[0],
        own=[0],
        rewards=[0.0],
        values=[0.5],
        gate=[0.0],
        is_repair=False,
        old_shift=[0.0],
        ref_shift=[0.0],
    )


@st.composite
def cases(draw: st.DrawFn, dtype: torch.dtype = torch.float64) -> Case:
    """Groups of 1 to 4 rows of 1 to 6 tokens. At least one group has two rows: verl cannot whiten a single token."""
    return make_case(
        sizes=[draw(st.integers(2, 4)), *draw(st.lists(st.integers(1, 4), max_size=2))],
        seed=draw(st.integers(0, 2**31)),
        gates=draw(st.sampled_from(GATES)),
        dense=draw(st.booleans()),
        empty_rows=draw(st.integers(0, 2)),
        dtype=dtype,
    )


# ---- verl's calls ----------------------------------------------------------------------------------------------------


def estimate(
    case: Case, estimator: str, gate: torch.Tensor | None = None, by_std: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages and returns as verl's V1 trainer computes them, with ours or with its own estimator."""
    columns = {
        "response_mask": case.mask,
        "token_level_rewards": case.padded([row.rewards for row in case.rows]),
        "values": case.values,
    }
    uids = np.array([row.uid for row in case.rows], dtype=object)
    data = DataProto(batch=TensorDict(columns, batch_size=len(case.rows)), non_tensor_batch={"uid": uids})
    keys = [f"{row.uid}_{session}_0" for session, row in enumerate(case.rows)]
    config = AlgoConfig(adv_estimator=estimator, gamma=GAMMA, lam=LAM, norm_adv_by_std_in_grpo=by_std)
    with use_row_fields(RowFields(case.is_repair, case.gate if gate is None else gate, values=case.values)):
        data = compute_advantage_for_multi_trajectories(
            data, keys, estimator, gamma=GAMMA, lam=LAM, norm_adv_by_std_in_grpo=by_std, config=config
        )
    return data.batch["advantages"], data.batch["returns"]


def loss_config(objective: Objective, loss: str, **changes: object) -> FSDPActorConfig:
    low, high, dual = clip_of(objective)
    settings = {"clip_ratio": 0.2, "clip_ratio_low": low, "clip_ratio_high": high, "clip_ratio_c": dual or 3.0}
    settings |= {"policy_loss": PolicyLossConfig(loss_mode=loss), "loss_agg_mode": objective.aggregation}
    return actor_config(**(settings | changes))


def micro_batch(
    case: Case, advantages: torch.Tensor, weighted: bool = False, ranks: int = 1
) -> tuple[TensorDict, dict[str, torch.Tensor]]:
    """The whole batch as one micro-batch of verl's engine, and the model's output: log-probabilities and entropy.

    Both are nested, over prompt and response, each position holding what the model says of the token after it.
    weighted: with verl's weights for the engine's log-probabilities.
    """
    table = case.policy()
    entropies = -(table.exp() * table).sum(dim=-1)
    log_probs, entropy = [], []
    for row in case.rows:
        tokens = [*row.prompt, *row.tokens]
        log_probs.append(torch.cat([table[tokens[:-1], tokens[1:]], table.new_zeros(1)]))
        entropy.append(entropies[tokens])
    lengths = [len(row.tokens) for row in case.rows]

    def per_token(lists: Sequence[Sequence[float]], dtype: torch.dtype) -> torch.Tensor:
        return nested([torch.tensor(one, dtype=dtype) for one in lists])

    columns = {
        "prompts": per_token([row.prompt for row in case.rows], torch.int64),
        "responses": per_token([row.tokens for row in case.rows], torch.int64),
        "response_mask": per_token([row.own for row in case.rows], torch.int64),
        "old_log_probs": per_token(case.old_log_prob, case.dtype),
        "ref_log_prob": per_token(case.ref_log_prob, case.dtype),
        "advantages": nested([line[:length] for line, length in zip(advantages, lengths, strict=True)]),
        IS_REPAIR: case.is_repair,
    }
    if weighted:
        columns["rollout_is_weights"] = per_token([[abs(one) for one in row.values] for row in case.rows], case.dtype)
    data = TensorDict(columns, batch_size=len(case.rows))
    trained = sum(any(row.own) for row in case.rows)
    tu.assign_non_tensor(data, dp_size=ranks, batch_num_tokens=int(case.mask.sum()), global_batch_size=trained)
    return data, {"log_probs": nested(log_probs), "entropy": nested(entropy)}
