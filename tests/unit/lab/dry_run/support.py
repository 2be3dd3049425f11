# SPDX-License-Identifier: Apache-2.0
"""A small model and a small run, for arithmetic by hand."""

from verl_df.lab.dry_run.engine import EngineSizes
from verl_df.lab.dry_run.models import ModelSizes, VisionSizes
from verl_df.lab.dry_run.sizes import RunSizes
from verl_df.lab.dry_run.update import PassSizes

VISION = VisionSizes(
    layers=2, width=100, heads=4, mlp=900, out=1000, patches=4, pixels=1176, image=500, step=500, steps=7, beside=0
)
WEIGHTS = {
    "model.language_model.embed_tokens.weight": (50_000, 1000),
    "model.language_model.layers.0.self_attn.q_proj.weight": (800, 1000),
    "model.language_model.layers.0.self_attn.k_proj.weight": (200, 1000),
    "model.language_model.layers.0.self_attn.v_proj.weight": (200, 1000),
    "model.language_model.layers.0.mlp.down_proj.weight": (1000, 30_000),
    "model.language_model.norm.weight": (1000,),
    "lm_head.weight": (50_000, 1000),
}
MODEL = ModelSizes("qwen2_5_vl", WEIGHTS, False, 1, 1000, 30_000, 8, 2, 100, 50_000, 10_000, VISION)
POLICY = EngineSizes("actor_rollout_ref.rollout", 2, 0.5, 1500, 1500, 2048, 64, 8, 0, True, None, False)
REPAIR = EngineSizes("df.repair.rollout", 2, 0.5, 2756, 2756, 2048, 64, 8, 0, True, None, False)
UPDATE = PassSizes("actor_rollout_ref.actor.ppo_max_token_len_per_gpu", 2000, True, False, 0)
LOG_PROB = PassSizes("actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu", 4000, True, False, 0)
RUN = RunSizes(
    nodes=1,
    gpus=4,
    prompts=32,
    rollouts=8,
    mini_batch=16,
    sequence_parallel=1,
    prompt=1000,
    response=500,
    update=UPDATE,
    log_prob=LOG_PROB,
    dynamic=True,
    policy=POLICY,
    repair=REPAIR,
    offload=True,
    critic_offload=False,
    lora=0,
    critic=False,
    repairs=2,
    workers=8,
)
