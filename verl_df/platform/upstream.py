# SPDX-License-Identifier: Apache-2.0
"""Names of verl that are not meant for others and that this package overrides, replaces or calls.

verl keeps them as it likes. Here is the whole list, read in verl 0.9.1, and `changed` says which of them read otherwise
in the verl that is installed: look at these first after an upgrade (`scripts/against_verl.sh`).
"""

import ast
import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

READ_IN = "0.9.1"

_TRAINER = "verl.trainer.ppo.v1.trainer_base:PPOTrainer"
_AGENT_LOOP = "verl.experimental.agent_loop.agent_loop:AgentLoopBase"
NAMES: dict[str, str] = {
    # overridden, with a call of verl's own
    f"{_TRAINER}._init_resource_pool_mgr": "our actor worker takes the place of verl's",
    f"{_TRAINER}._setup": "the repair engine starts after it, while the policy's sleeps",
    f"{_TRAINER}._build_replay_buffer": "groups are seen while the buffer waits for more",
    f"{_TRAINER}._get_n_gpus_for_throughput": "a dedicated repair engine's devices count",
    "verl.trainer.ppo.v1.trainer_sync:PPOTrainerSync.on_sample_end": "repairs by the policy end before it sleeps",
    f"{_TRAINER}._step_once": "a batch without a usable prompt ends the step",
    f"{_TRAINER}._balance_batch": "the first call after sampling: the repair phase comes before it",
    f"{_TRAINER}._get_required_batch_multiple": "a number of mini-batches that does not follow the rows",
    f"{_TRAINER}._compute_old_log_prob": "repairs have no log-probabilities of the rollout engine",
    f"{_TRAINER}._compute_advantage": "the gate is put in reach of the estimator",
    f"{_TRAINER}._update_actor": "mini-batches, and the ratio of repaired rows",
    f"{_TRAINER}._save_checkpoint": "the memory that saving takes is told apart",
    f"{_TRAINER}._compute_metrics": "a skipped step has none of verl's",
    "verl.workers.engine_workers:ActorRolloutRefWorker.init_model": "our loss takes the place of verl's",
    "verl.workers.engine_workers:ActorRolloutRefWorker.update_actor": "rows of a mini-batch",
    "verl.trainer.main_ppo:TaskRunnerV1.run": "asks first whether the plugin is active",
    # called
    "verl.workers.utils.losses:ppo_loss": "ours calls it and watches repaired rows",
    "verl.workers.rollout.replica:RolloutReplica.init_colocated": "the repair engine on the actor's devices",
    "verl.workers.rollout.llm_server:LLMServerClient.generate": "repairs are sampled through it",
    "verl.trainer.ppo.v1.replay_buffer:ReplayBuffer._wait_for_next_poll": "followed: groups are complete",
    "verl.trainer.ppo.v1.replay_buffer:ReplayBuffer.sample": "followed, for the groups of the last look",
    "verl.experimental.reward_loop.reward_loop:RewardLoopWorker.compute_score_batch": "groups travel through it",
    f"{_AGENT_LOOP}.process_multi_modal_info": "media of a repair prompt",
    f"{_AGENT_LOOP}.ct_build_initial_tokens": "taken apart: it cuts the beginning off a long text",
    f"{_AGENT_LOOP}.ct_merge_assistant_token": "token ids of a repair",
    "verl.experimental.agent_loop.single_turn_agent_loop:SingleTurnAgentLoop.run": "taken apart, so that n repairs "
    "share one prompt",
    "verl.experimental.agent_loop.agent_loop:AgentLoopWorker._compute_position_ids": "asks our processor how fast a "
    "video is",
    "verl.trainer.ppo.padding_utils:upsample_batch_to_divisible_size": "its padding rows get a gate of zero",
    # replaced
    "verl.utils.tensordict_utils:maybe_fix_3d_position_ids": "a fault of batches whose rows have one length",
    "verl.utils.tokenizer.tokenizer:hf_processor": "InternVL's processor",
    "verl.workers.rollout.utils:qwen2_5_vl_dedup_image_tokens": "InternVL's image tokens",
    "verl.models.transformers.qwen2_vl:_get_input_embeds": "a micro-batch of Qwen2.5-VL without pictures",
    "verl.utils.model:load_valuehead_model": "critics of vision-language models",
    "verl.utils.tracking:FileLogger": "keeps what an interrupted run had logged",
    "verl.utils.tracking:Tracking": "hands sections, pairs and settings to W&B and TensorBoard",
}


def digest(name: str) -> str:
    """Hash of the source of `module:qualified.name`, read from verl's file: in this process it may be replaced already.

    Raises:
        LookupError: it is gone.
    """
    module, _, path = name.partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"no module {module}")
    text = Path(spec.origin).read_text(encoding="utf-8")
    found: ast.AST = ast.parse(text)
    for part in path.split("."):
        named = [one for one in ast.iter_child_nodes(found) if getattr(one, "name", None) == part]
        if not named:
            raise LookupError(f"{module} has no {path}")
        found = named[-1]
    return hashlib.sha256(str(ast.get_source_segment(text, found)).encode()).hexdigest()[:16]


def changed(recorded: Mapping[str, str]) -> list[str]:
    """A line for each name that is gone or reads otherwise than recorded.

    Args:
        recorded: `digest` of each of `NAMES`, in verl `READ_IN`.
    """
    lines = []
    for name, why in NAMES.items():
        try:
            now = digest(name)
        except LookupError as error:
            lines.append(f"{name}: gone ({error}); used for: {why}")
            continue
        if now != recorded.get(name):
            lines.append(f"{name}: changed; used for: {why}")
    return lines
