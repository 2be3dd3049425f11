# SPDX-License-Identifier: Apache-2.0
"""What of verl a gate can multiply, and the objectives made of it.

An objective is a file `recipe/df/config/objective/NAME.yaml`, the only place that describes it: an advantage estimator,
a policy loss with its aggregation and clip, and a group mode. The gate sits in the advantages (Eq. 21), so a loss in
which an advantage of zero gives a gradient of zero needs no change. KL and entropy terms, ratios and denominators are
over whole responses.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

OBJECTIVE_FOLDER = Path(__file__).resolve().parents[2] / "recipe/df/config/objective"

# Estimators of verl that are registered with a gate, with their group modes. Where the paper trains on no repaired row,
# none is offered: a critic has no value of a response that the policy did not sample, and a mean over the batch would
# shift with the rows added.
_GATE_ONLY = ("gate_only", "off")
ESTIMATORS: dict[str, tuple[str, ...]] = {
    "grpo": ("repair_pairs", *_GATE_ONLY),
    "grpo_vectorized": _GATE_ONLY,
    "rloo": _GATE_ONLY,
    "rloo_vectorized": _GATE_ONLY,
    "reinforce_plus_plus": _GATE_ONLY,
    "reinforce_plus_plus_baseline": _GATE_ONLY,
    "gae": _GATE_ONLY,
    "opo": _GATE_ONLY,
    "gpg": _GATE_ONLY,
}

# Policy losses of verl that are registered with a gate, with what bounds the ratio.
LOSSES: dict[str, str] = {
    "vanilla": "1 - ε_low, 1 + ε_high; dual clip c",
    "gspo": "1 - ε_low, 1 + ε_high; no dual clip",
    "sapo": "a sigmoid with τ_pos, τ_neg",
    "gpg": "no ratio",
    "cispo": "1 - ε_low, 1 + ε_high, the gradient kept",
    "dppo_tv": "total variation above ε_low, ε_high: no gradient; ratio at most c",
    "dppo_kl": "divergence above ε_low, ε_high: no gradient; ratio at most c",
}
# Losses whose ratio is that of the whole response, s(z) = exp(1/|z| Σ_t log w_t), over all tokens, gated or not.
SEQUENCE_RATIO = ("gspo",)
# Losses that aggregate in one way, whatever verl's `loss_agg_mode` says.
FIXED_AGGREGATION = {"sapo": "seq-mean-token-mean"}

# The rest of verl's, and why no gate is put on it.
UNGATED_ESTIMATORS: dict[str, str] = {
    "grpo_passk": "only the best rollout of a group has an advantage, so a gate on wrong rollouts would do nothing",
    "remax": "it needs the reward of a greedy rollout, which verl's V1 trainer does not sample",
    "gdpo": "it needs the parts of the reward, which verl gives to its own name only",
    "optimal_token_baseline": "it needs sum_pi_squared, which verl's V1 trainer does not compute",
    "tir_optimal_token_baseline": "it needs sum_pi_squared, which verl's V1 trainer does not compute",
}
UNGATED_LOSSES: dict[str, str] = {
    "clip_cov": "it clips by a covariance with the advantage, so a gate on one token selects which others train",
    "kl_cov": "its KL term is not multiplied by the advantage, so a gate of zero leaves a gradient",
    "dro": "its quadratic term is not multiplied by the advantage, so a gate of zero leaves a gradient",
    "geo_mean": "it takes one mean advantage a response, so a gate on one token changes the weight of all others",
    "bypass_mode": "verl's V1 trainer does not hand it algorithm.rollout_correction",
}


def gated(base: str) -> str:
    """The name under which a gated estimator or loss of verl's stands in verl's registry."""
    return f"df_{base}"


def base_of(name: str) -> str:
    """verl's own name of a gated estimator or loss; a name without a gate is its own base."""
    return name.removeprefix("df_")


@dataclass(frozen=True)
class Objective:
    """One objective, as its file has it.

    Attributes:
        name: of the file.
        title: the algorithm in words.
        equations: of the paper.
        base_estimator: verl's advantage estimator, which ours calls.
        base_loss: verl's policy loss, which ours calls.
        aggregation: verl's `loss_agg_mode`.
        mode: `df.group.mode`.
        clip: the keys `clip_ratio*` of verl's actor that the file sets.
    """

    name: str
    title: str
    equations: str
    base_estimator: str
    base_loss: str
    aggregation: str
    mode: str
    clip: Mapping[str, float]

    @property
    def estimator(self) -> str:
        """Ours, in verl's registry."""
        return gated(self.base_estimator)

    @property
    def loss(self) -> str:
        """Ours, in verl's registry."""
        return gated(self.base_loss)

    @property
    def ratio(self) -> str:
        """`token`, w_t of Eq. 18, or `sequence`, exp of its mean log over the response."""
        return "sequence" if self.base_loss in SEQUENCE_RATIO else "token"


def load_objectives(folder: Path = OBJECTIVE_FOLDER) -> dict[str, Objective]:
    """All objectives by name, those with a name of the paper's own (`df_*`) first.

    Raises:
        ValueError: a file without one of its parts; the message names the file and what it lacks.
    """
    paths = sorted(folder.glob("*.yaml"), key=lambda path: (not path.stem.startswith("df_"), path.stem))
    return {path.stem: _read(path) for path in paths}


def _read(path: Path) -> Objective:
    written = OmegaConf.load(path)

    def stated(key: str) -> str:
        value = OmegaConf.select(written, key)
        if value is None:
            raise ValueError(f"{path}: an objective states {key} itself")
        return value

    heading = re.search(r"^# (.+) \(Eq\. ([\d, -]+)\)\.", path.read_text(encoding="utf-8"), re.MULTILINE)
    if heading is None:
        raise ValueError(f"{path}: begin the comment with the algorithm and its equations, '# GRPO, gated (Eq. 21).'")
    actor = OmegaConf.select(written, "actor_rollout_ref.actor", default={})
    return Objective(
        name=path.stem,
        title=heading[1],
        equations=heading[2],
        base_estimator=base_of(stated("algorithm.adv_estimator")),
        base_loss=base_of(stated("actor_rollout_ref.actor.policy_loss.loss_mode")),
        aggregation=stated("actor_rollout_ref.actor.loss_agg_mode"),
        mode=stated("df.group.mode"),
        clip={key: value for key, value in actor.items() if key.startswith("clip_ratio")},
    )
