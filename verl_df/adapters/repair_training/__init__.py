# SPDX-License-Identifier: Apache-2.0
"""Training the repair model itself by RL, as one more task of stock verl.

| file | verl's extension point |
| --- | --- |
| `trainer.py` | `register_trainer("df_repair_sync")`, the synchronous V1 trainer that logs the repairs' scores |
| `agent_loop.py` | an agent loop that asks for a repair, on a share of the rows without the picture |
| `reward_manager.py` | a reward manager: r_rep with edit cost and auditor |
"""
