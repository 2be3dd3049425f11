# SPDX-License-Identifier: Apache-2.0
"""The repair model's reward r_rep (Eq. 4) as a verl reward manager.

verl scores each sample as soon as it is generated, while others are still decoded; the task reward of the repair, that
of its counterfactual and the auditor's call run side by side for each sample.
"""

import asyncio
from typing import Any
from uuid import uuid4

from omegaconf import DictConfig
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls, register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from verl_df.adapters.prompt_content import IMAGES_FOLDER, pictures, prompt_text, save_media
from verl_df.adapters.repair_training.fields import COUNTERFACTUAL, COUNTERFACTUAL_FAILED, log_folder
from verl_df.adapters.reward_request import TASK_REWARD, response_ids, score_request, task_reward
from verl_df.io.lines import RecordWriter
from verl_df.judges.audit_log import AUDITS, AuditRecord
from verl_df.judges.auditor import Audit, Auditor
from verl_df.method.repair_reward import RIGHT, RepairScore, score_repair
from verl_df.settings.repair_checks import TASK_COLUMN
from verl_df.settings.repair_config import load_repair_training_config

NAME = "df_repair"


@register(NAME)
class RepairRewardManager(RewardManagerBase):
    """Wraps verl's reward manager `df.reward_manager`, which gives r_task of the repair and of its counterfactual."""

    def __init__(self, config: DictConfig, tokenizer: Any, compute_score: Any, **kwargs: Any):
        super().__init__(config, tokenizer, compute_score)
        self.df = load_repair_training_config(config.df)
        base = get_reward_manager_cls(self.df.reward_manager)
        self.base = base(config=config, tokenizer=tokenizer, compute_score=compute_score, **kwargs)
        self._auditor = Auditor(self.df.auditor) if self.df.auditor.enabled else None
        self._folder = log_folder(config, self.df)
        self._audits: RecordWriter[AuditRecord] | None = None

    async def run_single(self, data: DataProto) -> dict:
        """r_rep of one repair.

        Returns:
            verl's `{"reward_score", "reward_extra_info"}`; the info has `acc` and `r_task` (of ŷ), `edit_ratio`,
            `g_vis`, `g_aud`, `r_rep`, `removed_failed` and `audit_failed` (0 or 1), all numbers.
        """
        columns = {key: values[-1] for key, values in data.non_tensor_batch.items()}
        extra = columns.pop("tool_extra_fields")
        repair = response_ids(data)
        counterfactual = extra[COUNTERFACTUAL]
        (r_task, audit), r_removed = await asyncio.gather(
            self._judge_and_audit(columns, repair, counterfactual),
            self._score_removed(columns, counterfactual),
        )
        score = score_repair(
            columns[TASK_COLUMN]["response_ids"],
            repair,
            r_task=r_task,
            edit_penalty=self.df.edit_penalty,
            r_removed=r_removed,
            g_aud=audit.g_aud if audit is not None else 1,
        )
        return {"reward_score": score.reward, "reward_extra_info": _info(score, extra, audit)}

    async def _score(self, columns: dict[str, Any], token_ids: list[int]) -> float:
        # verl's managers write into extra_info: each call gets its own
        columns = {**columns, "extra_info": dict(columns.get("extra_info", {}))}
        return task_reward(await self.base.run_single(score_request(columns, token_ids)))

    async def _score_removed(self, columns: dict[str, Any], counterfactual: list[int] | None) -> float | None:
        return None if counterfactual is None else await self._score(columns, counterfactual)

    async def _judge_and_audit(
        self, columns: dict[str, Any], repair: list[int], counterfactual: list[int] | None
    ) -> tuple[float, Audit | None]:
        r_task = await self._score(columns, repair)
        # our reading: a wrong repair has no reward to hack, so only right ones are audited
        if self._auditor is None or r_task < RIGHT:
            return r_task, None
        return r_task, await self._audit(self._auditor, columns, repair, counterfactual, r_task)

    async def _audit(
        self,
        auditor: Auditor,
        columns: dict[str, Any],
        repair: list[int],
        counterfactual: list[int] | None,
        r_task: float,
    ) -> Audit:
        messages, task = list(columns["raw_prompt"]), columns[TASK_COLUMN]
        texts = {
            "question": prompt_text(messages),
            "response": task["response"],
            "repair": self._text(repair),
            "reference": task["reference"],
            "counterfactual": None if counterfactual is None else self._text(counterfactual),
        }
        # in threads: the loop has other calls under way, and a large picture takes its time
        audit = await auditor.audit(images=await asyncio.to_thread(pictures, messages), **texts)
        record = AuditRecord(
            id=f"{columns['uid']}_{columns['session_id']}",
            step=int(columns["global_steps"]),
            images=await asyncio.to_thread(save_media, messages, self._folder / IMAGES_FOLDER),
            ground_truth=str(columns["reward_model"]["ground_truth"]),
            r_task=r_task,
            hacking=audit.hacking,
            failure_mode=audit.failure_mode,
            evidence=audit.evidence,
            failure=audit.failure,
            g_aud=audit.g_aud,
            **texts,
        )
        if self._audits is None:  # a file for each process, made when there is something to write
            self._audits = AUDITS.writer(self._folder / f"audits-{uuid4().hex[:8]}.jsonl")
        self._audits.write(record)
        return audit

    def _text(self, token_ids: list[int]) -> str:
        return self.tokenizer.decode(token_ids, skip_special_tokens=True)


def _info(score: RepairScore, extra: dict[str, Any], audit: Audit | None) -> dict[str, float]:
    return {
        "acc": score.r_task,
        TASK_REWARD: score.r_task,
        "edit_ratio": score.edit_ratio,
        "g_vis": float(score.g_vis),
        "g_aud": float(score.g_aud),
        "r_rep": score.reward,
        "removed_failed": float(extra[COUNTERFACTUAL_FAILED]),
        "audit_failed": float(audit is not None and audit.failure is not None),
    }
