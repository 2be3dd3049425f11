# SPDX-License-Identifier: Apache-2.0
"""Training a policy with repairs of its wrong rollouts.

| file | verl's extension point |
| --- | --- |
| `trainer.py` | `register_trainer("df_sync")`, the synchronous V1 trainer with repairs between sampling and update |
| `placement.py` | what a place of the repair model is; the four are in `placements/` |
| `repair_server.py` | rollout replicas for the repair model (`RolloutReplica.init_colocated`) |
| `copy_drafts.py` | vLLM's `method: custom_class`: drafts of the repair engine |
| `self_test.py` | what an engine elsewhere must show before training |
| `reward_manager.py` | a reward manager (`reward.reward_manager`): verl's reward, with r_task beside it |
| `group_stream.py` | groups sent to the reward workers as they are complete, and collected in an order of their own |
| `group_exchange.py` | how a group travels to a reward worker and back |
| `group_feedback.py` | groups in the reward workers: repairs sampled, judged, aligned, gated |
| `repair_client.py` | verl's single-turn agent loop, pointed at rollout replicas |
| `rows.py` | rows of TransferQueue: groups out, repaired rows in |
| `advantage.py` | `register_adv_est`: verl's estimators times the gate, `df_NAME` |
| `loss.py` | `register_policy_loss`: verl's losses, `df_NAME`; and the worker's `loss_fn` |
| `worker.py` | `ActorRolloutRefWorker` with that `loss_fn` and a fixed number of mini-batches |
| `step_log.py` | a file of JSON lines that outlives an interruption; the three logs below are one each |
| `pair_log.py` | the pairs that a run leaves behind |
| `group_log.py` | its groups: all rollouts, and what became of them |
| `token_log.py` | what the update saw of each token of the logged pairs |
| `row_fields.py` | carries the gate past verl's fixed argument lists |
"""
