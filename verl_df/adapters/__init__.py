# SPDX-License-Identifier: Apache-2.0
"""Thin adapters between the method (`verl_df.method`) and stock verl 0.9.1.

Two programs: `policy_training` trains a policy with repairs of its wrong rollouts, `repair_training` trains the repair
model. What both use lies here:

| file | verl's extension point |
| --- | --- |
| `judge_reward_manager.py` | a reward manager that asks a language model behind an endpoint |
| `reward_request.py` | how verl asks a reward manager for a reward, and what its answer means |
| `prompt_content.py` | a prompt's messages as text and pictures, for logs |
| `accounted.py` | the synchronous V1 trainer with a ledger and a budget; both programs' trainers derive from it |
| `accounted_sft.py` | verl's SFT trainer with a time ledger |
| `clean_stop.py` | around `run_ppo`: Ctrl-C and SIGTERM end a run after a step, with a checkpoint |
| `living_workers.py` | `ReplayBuffer`, whose wait ends with a dead worker |
| `run_memory.py`, `host_memory.py` | peaks of memory of every process by phase; calls no extension point of verl's |
| `metrics_log.py` | `FileLogger`, which keeps what an interrupted run had logged |
| `trackers.py` | `Tracking`: groups of metrics, tables of pairs, configuration and versions in W&B and TensorBoard |
| `value_model.py` | `load_valuehead_model`, for critics of vision-language models |
"""
