# SPDX-License-Identifier: Apache-2.0
"""Loss and gradient of every objective against the paper's equations, written out with loops over z and t.

z runs over the rows of the batch and t over the policy's own tokens of a row: prompt, padding, tool tokens and the
empty rows that verl adds do not exist here. The paper writes the objective of one prompt; the mean over the rows of a
batch is verl's. So are small constants, 1e-6 beside a standard deviation over a group and 1e-8 beside a variance over a
batch, and factors that verl computes in float32 whatever the rewards are in.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from verl.trainer.ppo.core_algos import get_policy_loss_fn

from tests.unit.adapters.objectives_support import (
    ALL,
    GAMMA,
    GATES,
    KL_COEF,
    LAM,
    Case,
    Row,
    cases,
    clip_of,
    estimate,
    loss_config,
    make_case,
    micro_batch,
)
from verl_df.adapters.policy_training.loss import df_ppo_loss
from verl_df.adapters.policy_training.row_fields import RowFields, use_row_fields
from verl_df.method.weights import prompt_weights
from verl_df.settings.objectives import ESTIMATORS, Objective, gated

Lists = list[list[float]]  # [z][t]


# ---- the equations ---------------------------------------------------------------------------------------------------


def own(row: Row, per_token: list) -> list:
    """The entries of the policy's own tokens: t = 1 .. |z|."""
    return [value for value, mine in zip(per_token, row.own, strict=True) if mine]


def grpo_advantages(rows: list[Row]) -> Lists:
    """A(z) = (r(z) - mean) / std over the group of z (Eq. 19)."""
    advantages = []
    for row in rows:
        rewards = [sum(z.rewards) for z in rows if z.uid == row.uid]
        if len(rewards) == 1:
            mean, deviation = 0.0, float(np.float32(1 + 1e-6))  # nothing to compare with: the reward as it is
        else:
            mean = sum(rewards) / len(rewards)
            deviation = math.sqrt(sum((reward - mean) ** 2 for reward in rewards) / (len(rewards) - 1)) + 1e-6
        advantages.append([(sum(row.rewards) - mean) / deviation] * sum(row.own))
    return advantages


def rloo_advantages(rows: list[Row], alone: float = 1.0) -> Lists:
    """r(z) less the mean of the other rollouts of the prompt; `alone` times r(z) where there is no other."""
    advantages = []
    for row in rows:
        others = [sum(z.rewards) for z in rows if z.uid == row.uid and z is not row]
        reward = sum(row.rewards)
        advantage = reward - sum(others) / len(others) if others else alone * reward
        advantages.append([advantage] * sum(row.own))
    return advantages


def vectorized_rloo_advantages(rows: list[Row]) -> Lists:
    """As RLOO, but zero for the only rollout of a prompt."""
    return rloo_advantages(rows, alone=0.0)


def discounted_returns(rows: list[Row]) -> Lists:
    """G_t = Σ_k≥t γ^(k-t) r_k."""
    returns = []
    for row in rows:
        rewards = own(row, row.rewards)
        returns.append(
            [sum(GAMMA ** (k - t) * rewards[k] for k in range(t, len(rewards))) for t in range(len(rewards))]
        )
    return returns


def gae_advantages(rows: list[Row]) -> Lists:
    """Â_t = δ_t + γλ Â_(t+1), δ_t = r_t + γ V_(t+1) - V_t; zero past the end."""

    def from_token(t: int, rewards: list[float], values: list[float]) -> float:
        if t == len(rewards):
            return 0.0
        following = values[t + 1] if t + 1 < len(values) else 0.0
        delta = rewards[t] + GAMMA * following - values[t]
        return delta + GAMMA * LAM * from_token(t + 1, rewards, values)

    return [[from_token(t, own(row, row.rewards), own(row, row.values)) for t in range(sum(row.own))] for row in rows]


def opo_advantages(rows: list[Row]) -> Lists:
    """r(z) less the mean of the group's rewards, weighted by length."""
    advantages = []
    for row in rows:
        group = [z for z in rows if z.uid == row.uid]
        lengths = [sum(z.own) for z in group]
        total = sum(length * sum(z.rewards) for length, z in zip(lengths, group, strict=True))
        baseline = total / sum(lengths) if len(group) > 1 else 0.0
        advantages.append([sum(row.rewards) - baseline] * sum(row.own))
    return advantages


def centred_rewards(rows: list[Row], scale: float = 1.0) -> Lists:
    """r(z) less the mean of the group, which is zero for a group of one."""
    advantages = []
    for row in rows:
        rewards = [sum(z.rewards) for z in rows if z.uid == row.uid]
        mean = sum(rewards) / len(rewards) if len(rewards) > 1 else 0.0
        advantages.append([scale * (sum(row.rewards) - mean)] * sum(row.own))
    return advantages


def gpg_advantages(rows: list[Row]) -> Lists:
    """Centred rewards, times the number of rows over that of rows with a reward."""
    rewarded = sum(sum(row.rewards) != 0 for row in rows)
    return centred_rewards(rows, float(np.float32(1 / max(1, rewarded)) * np.float32(len(rows))))


def baseline_advantages(rows: list[Row]) -> Lists:
    """REINFORCE++-baseline."""
    return whitened(centred_rewards(rows))


def whitened(lists: Lists) -> Lists:
    """Mean zero and variance one over all tokens of the batch."""
    tokens = [value for line in lists for value in line]
    number = len(tokens)
    mean = sum(tokens) / number
    variance = sum((value - mean) ** 2 for value in tokens) / number * float(np.float32(number / (number - 1)))
    return [[(value - mean) / math.sqrt(variance + 1e-8) for value in line] for line in lists]


def gae_returns(rows: list[Row]) -> Lists:
    """What the critic learns: Â_t + V_t, before whitening."""
    values = [own(row, row.values) for row in rows]
    return [
        [a + v for a, v in zip(line, of_row, strict=True)]
        for line, of_row in zip(gae_advantages(rows), values, strict=True)
    ]


# verl's estimator -> its advantages and returns.
BASES: dict[str, tuple[Callable[[list[Row]], Lists], Callable[[list[Row]], Lists]]] = {
    "grpo": (grpo_advantages, grpo_advantages),
    "grpo_vectorized": (grpo_advantages, grpo_advantages),
    "rloo": (rloo_advantages, rloo_advantages),
    "rloo_vectorized": (vectorized_rloo_advantages, vectorized_rloo_advantages),
    "reinforce_plus_plus": (lambda rows: whitened(discounted_returns(rows)), discounted_returns),
    "reinforce_plus_plus_baseline": (baseline_advantages, baseline_advantages),
    "gae": (lambda rows: whitened(gae_advantages(rows)), gae_returns),
    "opo": (opo_advantages, opo_advantages),
    "gpg": (gpg_advantages, gpg_advantages),
}
# verl computes these in float32 whatever the rewards are in.
IN_FLOAT32 = ("grpo_vectorized",)
# The losses that are the paper's clipped surrogate.
OBJECTIVES = {
    name: one
    for name, one in ALL.items()
    if one.base_loss in ("vanilla", "gspo") and one.base_estimator not in IN_FLOAT32
}


def gated_advantages(estimator: str, rows: list[Row]) -> Lists:
    """A^DF_t = g_t · A_t (Eq. 21, 27)."""
    advantages, _ = BASES[estimator]
    return [
        [gate * value for gate, value in zip(own(row, row.gate), line, strict=True)]
        for row, line in zip(rows, advantages(rows), strict=True)
    ]


def log_probs(case: Case) -> list[list[torch.Tensor]]:
    """log π_θ(z_t | x, z_<t), one scalar with a graph per token."""
    table = case.policy()
    result = []
    for row in case.rows:
        before = [row.prompt[-1], *row.tokens[:-1]]
        result.append(own(row, [table[left, right] for left, right in zip(before, row.tokens, strict=True)]))
    return result


def ratios(objective: Objective, now: list[torch.Tensor], old: list[float]) -> list[torch.Tensor]:
    """Of one row: w_t = π_θ / π_old (Eq. 18, 24), or GSPO's s_t = sg[s(z)] · π_θ / sg[π_θ], s(z) = (Π w_t)^(1/|z|)."""
    if objective.ratio == "token":
        return [torch.exp(one - before) for one, before in zip(now, old, strict=True)]
    mean = sum(one.item() - before for one, before in zip(now, old, strict=True)) / max(1, len(now))
    return [math.exp(mean) * torch.exp(one) / torch.exp(one).detach() for one in now]


def clipped(ratio: torch.Tensor, advantage: float, clip: tuple[float, float, float | None]) -> torch.Tensor:
    """min(w·A, clip(w, 1 - ε_low, 1 + ε_high)·A) (Eq. 23), and for A < 0 never below c·A (verl's dual clip)."""
    low, high, dual = clip
    flat = 0 * ratio  # a constant is a term without gradient
    inside = flat + 1 - low if ratio < 1 - low else flat + 1 + high if ratio > 1 + high else ratio
    surrogate = min(ratio * advantage, inside * advantage)
    return max(surrogate, flat + dual * advantage) if dual and advantage < 0 else surrogate


def aggregate(objective: Objective, terms: list[list[torch.Tensor]]) -> torch.Tensor:
    """1/G Σ_z 1/|z| Σ_t (Eq. 22), or DAPO's and PPO's mean over all tokens."""
    terms = [line for line in terms if line]
    if objective.aggregation == "token-mean":
        return sum(sum(line) for line in terms) / sum(len(line) for line in terms)
    assert objective.aggregation == "seq-mean-token-mean"
    return sum(sum(line) / len(line) for line in terms) / len(terms)


def tokens_of(objective: Objective, case: Case) -> Iterator[list[tuple[torch.Tensor, float]]]:
    """(ratio, gated advantage) of the tokens of each row."""
    advantages = gated_advantages(objective.base_estimator, case.rows)
    for row, now, old, line in zip(case.rows, log_probs(case), case.old_log_prob, advantages, strict=True):
        yield list(zip(ratios(objective, now, own(row, old)), line, strict=True))


def surrogate_objective(objective: Objective, case: Case) -> torch.Tensor:
    """J(θ) without the KL term, to be maximised (Eq. 22, 28)."""
    clip = clip_of(objective)
    return aggregate(objective, [[clipped(*token, clip) for token in line] for line in tokens_of(objective, case)])


def kl_term(objective: Objective, case: Case) -> torch.Tensor:
    """KL(π_θ ‖ π_ref), estimated per token by k3: e^d - d - 1, d = log π_ref - log π_θ."""
    terms = []
    for row, now, ref in zip(case.rows, log_probs(case), case.ref_log_prob, strict=True):
        differences = [before - one for one, before in zip(now, own(row, ref), strict=True)]
        terms.append([torch.exp(d) - d - 1 for d in differences])
    return aggregate(objective, terms)


# ---- the comparisons -------------------------------------------------------------------------------------------------


def assert_equal(actual: torch.Tensor, expected: torch.Tensor, part: float = 1e-9) -> None:
    """To a part of the largest entry."""
    scale = float(expected.detach().abs().max())
    torch.testing.assert_close(actual, expected, rtol=0, atol=part * scale + 1e-4 * part)


def assert_same_loss_and_gradient(case: Case, actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert actual.dtype == torch.float64
    assert_equal(actual, expected)
    parameters = list(case.policy.parameters())
    ours, literal = (torch.autograd.grad(loss, parameters) for loss in (actual, expected))
    for gradient, wanted in zip(ours, literal, strict=True):
        assert_equal(gradient, wanted)


@pytest.mark.parametrize("base", ESTIMATORS)
@settings(deadline=None, max_examples=40)
@given(case=cases())
def test_advantages_and_returns(base: str, case: Case) -> None:
    advantages, returns = estimate(case, gated(base))
    mask, part = case.mask.bool(), 1e-3 if base in IN_FLOAT32 else 1e-9
    _, literal_returns = BASES[base]
    for actual, lists in ((advantages, gated_advantages(base, case.rows)), (returns, literal_returns(case.rows))):
        expected = torch.tensor([value for line in lists for value in line], dtype=torch.float64)
        assert_equal(actual[mask].double(), expected, part)


@pytest.mark.parametrize("name", OBJECTIVES)
@settings(deadline=None, max_examples=40)
@given(case=cases())
def test_the_registered_estimator_and_loss(name: str, case: Case) -> None:
    objective = OBJECTIVES[name]
    advantages, _ = estimate(case, objective.estimator)
    with use_row_fields(RowFields(case.is_repair, case.gate)):
        loss, _ = get_policy_loss_fn(objective.loss)(
            old_log_prob=case.padded(case.old_log_prob),
            log_prob=case.log_prob(),
            advantages=advantages,
            response_mask=case.mask.bool(),
            loss_agg_mode=objective.aggregation,
            config=loss_config(objective, objective.loss),
        )
    assert_same_loss_and_gradient(case, loss, -surrogate_objective(objective, case))


@pytest.mark.parametrize("name", OBJECTIVES)
@settings(deadline=None, max_examples=20)
@given(case=cases())
def test_the_workers_loss_with_a_kl_term(name: str, case: Case) -> None:
    """-J(θ) + β·KL(π_θ ‖ π_ref), the KL term not gated."""
    objective = OBJECTIVES[name]
    advantages, _ = estimate(case, objective.estimator)
    kl = {"use_kl_loss": True, "kl_loss_coef": KL_COEF, "kl_loss_type": "low_var_kl"}
    data, output = micro_batch(case, advantages)
    loss, _ = df_ppo_loss(loss_config(objective, objective.loss, **kl), {"log_probs": output["log_probs"]}, data)
    expected = -surrogate_objective(objective, case) + KL_COEF * kl_term(objective, case)
    assert_same_loss_and_gradient(case, loss, expected)


@pytest.mark.parametrize("name", [name for name, one in OBJECTIVES.items() if one.aggregation != "token-mean"])
@settings(deadline=None, max_examples=40)
@given(case=cases())
def test_each_prompt_weighs_the_same(name: str, case: Case) -> None:
    """1/P Σ_x 1/|G(x)| Σ_z 1/|z| Σ_t (Eq. 22), groups of any sizes."""
    objective, clip = OBJECTIVES[name], clip_of(OBJECTIVES[name])
    rows = [row for row in case.rows if any(row.own)]
    weights = prompt_weights([row.uid if any(row.own) else None for row in case.rows])
    advantages, _ = estimate(case, objective.estimator, case.gate * torch.from_numpy(weights))
    data, output = micro_batch(case, advantages)
    loss, _ = df_ppo_loss(loss_config(objective, objective.loss), {"log_probs": output["log_probs"]}, data)
    expected, sizes = 0.0, Counter(row.uid for row in rows)
    for row, line in zip(case.rows, tokens_of(objective, case), strict=True):
        if line:
            mean = sum(clipped(*token, clip) for token in line) / len(line)
            expected = expected - mean / sizes[row.uid] / len(sizes)
    parameters = list(case.policy.parameters())
    ours, literal = ([one, *torch.autograd.grad(one, parameters)] for one in (loss, expected))
    for actual, wanted in zip(ours, literal, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-7, atol=1e-7)  # the weights are float32, as the gates


def side(ratio: float, advantage: float, clip: tuple[float, float, float | None]) -> str:
    """Which branch of the clipped objective decides."""
    low, high, dual = clip
    if advantage == 0:
        return "gated"
    if advantage > 0:
        return "above" if ratio > 1 + high else "free"
    if dual and ratio > dual:
        return "dual clip"
    return "below" if ratio < 1 - low else "free"


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_random_batches_reach_every_branch(name: str) -> None:
    """Otherwise the comparisons above would say nothing about the clip."""
    objective = OBJECTIVES[name]
    clip = clip_of(objective)
    seen: Counter[str] = Counter()
    for seed, gates in enumerate(GATES * 4):
        case = make_case([4, 3, 1], seed, gates, empty_rows=1)
        for line in tokens_of(objective, case):
            seen.update(side(ratio.item(), advantage, clip) for ratio, advantage in line)
    expected = {"gated", "free", "below", "above"} | ({"dual clip"} if objective.ratio == "token" else set())
    assert set(seen) == expected
    assert min(seen.values()) >= 10
