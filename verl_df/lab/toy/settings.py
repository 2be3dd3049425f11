# SPDX-License-Identifier: Apache-2.0
"""All settings of the toy world in one place; a stage is rebuilt when its part of them changes."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PictureSettings:
    """How a picture is drawn.

    Attributes:
        fill: probability that a cell holds a figure.
        faint: probability that a figure is drawn faint (see `AnnotatorSettings`).
        faint_strength: how much of a faint figure's own colour is left, in (0, 1]; the rest is the background's.
        sizes: smallest and largest figure, in pixels (a cell is 28 x 28).
        shift: largest distance of a figure from the middle of its cell, in pixels per axis.
        colour_jitter: standard deviation of a figure's colour, in levels of 255.
        noise: standard deviation of the blotches laid over the picture, in levels of 255.
    """

    fill: float = 0.8
    faint: float = 0.6
    faint_strength: float = 0.6
    sizes: tuple[int, int] = (18, 22)
    shift: int = 2
    colour_jitter: float = 10.0
    noise: float = 6.0


@dataclass(frozen=True)
class ClipSettings:
    """How a clip is made of two pictures (`clips.py`).

    Attributes:
        brief: probability that a figure is in one half of the clip only.
        rates: frames a second, one of which is drawn for a clip; positions in time follow it.
    """

    brief: float = 0.4
    rates: tuple[float, ...] = (1.0, 2.0)


@dataclass(frozen=True)
class AnnotatorSettings:
    """How careless the people were who wrote the policy's SFT responses.

    Attributes:
        slip: probability that a confusable faint figure is called by its look-alike's name. The policy learns the
            habit, which leaves errors of seeing for reinforcement learning to remove.
    """

    slip: float = 0.6


@dataclass(frozen=True)
class ModelSettings:
    """Sizes of the tiny Qwen2.5-VL. Heads have size 32: vLLM's CPU attention kernel asks for a multiple of 32."""

    width: int = 128
    ffn: int = 256
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    vision_width: int = 64
    vision_depth: int = 1
    vision_heads: int = 2
    rope_theta: float = 100.0
    init_std: float = 0.08
    max_positions: int = 1024


@dataclass(frozen=True)
class RepairSetSettings:
    """How the repair set D_rep is sampled from the policy, at temperature 1.

    Attributes:
        prompts: prompts of the training part; `held_out_prompts`: of the part that the repair model is judged on.
        per_prompt: responses to each prompt.
        answer_share: share of the rows whose reference is the bare answer; the others have a full correct trajectory.
        hidden_share: share of the rows with a full and wholly true reference whose picture is greyed out. Only these
            rows force the model to read the reference; without them it learns to look at the picture alone (measured:
            cells taken over from the reference when the picture is hidden, 0.80 with such rows and 0.19 without).
    """

    prompts: int = 2000
    per_prompt: int = 4
    answer_share: float = 0.25
    hidden_share: float = 0.3
    held_out_prompts: int = 160


@dataclass(frozen=True)
class RepairTaskSettings:
    """How the repair tasks of stage 2 are sampled: groups as in the policy's own training, at temperature 1.

    Attributes:
        prompts, held_out_prompts: of the part to train on, and of the part to judge on.
        per_prompt: responses to each prompt.
    """

    prompts: int = 160
    held_out_prompts: int = 96
    per_prompt: int = 8


@dataclass(frozen=True)
class SftSettings:
    """One run of verl's SFT trainer: `rows` distinct rows, `steps` optimiser steps of `batch` rows.

    It saves a checkpoint every `save_every` steps, and goes on from there when it was interrupted. Never at the end of
    an epoch: verl, going on from there, skips the next one (measured); from anywhere else the final weights are, bit
    for bit, those of an uninterrupted run.

    Raises:
        ValueError: a checkpoint would be saved at the end of an epoch.
    """

    rows: int
    steps: int
    batch: int
    lr: float
    warmup: int = 40
    save_every: int = 120

    def __post_init__(self) -> None:
        epoch = self.rows // self.batch
        unlucky = [step for step in range(self.save_every, self.steps, self.save_every) if step % epoch == 0]
        if unlucky:
            raise ValueError(
                f"save_every={self.save_every}: steps {unlucky} end an epoch of {epoch} steps, and verl, going on from "
                "there, would skip the next one; choose another number"
            )


@dataclass(frozen=True)
class ToySettings:
    """The whole toy world. `seed` fixes every random draw; splits use disjoint streams of it.

    `repair` is trained on exact repairs and leaves stage 2 little to improve. `stage1`, where stage 2 starts, is that
    model after repairs of which an `overlooked_share` was left as wrong as it was.
    """

    seed: int = 0
    kind: str = "count"
    response_tokens: int = 48  # a well-formed response to a counting question has 35, end token included
    picture: PictureSettings = field(default_factory=PictureSettings)
    clip: ClipSettings = field(default_factory=ClipSettings)
    annotator: AnnotatorSettings = field(default_factory=AnnotatorSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    rl_train_rows: int = 2048
    rl_val_rows: int = 256
    repair_set: RepairSetSettings = field(default_factory=RepairSetSettings)
    repair_tasks: RepairTaskSettings = field(default_factory=RepairTaskSettings)
    policy: SftSettings = field(default_factory=lambda: SftSettings(rows=8000, steps=700, batch=16, lr=2e-3))
    repair: SftSettings = field(default_factory=lambda: SftSettings(rows=3500, steps=550, batch=16, lr=1e-3))
    stage1: SftSettings = field(default_factory=lambda: SftSettings(rows=575, steps=60, batch=16, lr=5e-4, warmup=10))
    overlooked_share: float = 0.5


# In the second world only few figures are faint: one wrong reading of six spoils an answer.
WORLDS = {
    "count": ToySettings(),
    "chain": ToySettings(
        kind="chain",
        response_tokens=144,
        picture=PictureSettings(faint=0.15),
        repair_set=RepairSetSettings(prompts=1100),
        policy=SftSettings(rows=8000, steps=700, batch=16, lr=2e-3),
        repair=SftSettings(rows=1900, steps=420, batch=16, lr=1e-3, save_every=110),
        stage1=SftSettings(rows=400, steps=60, batch=16, lr=5e-4, warmup=10),
    ),
}
