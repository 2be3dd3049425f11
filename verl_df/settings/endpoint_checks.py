# SPDX-License-Identifier: Apache-2.0
"""Judge, auditor and repair endpoint of a run, asked once before Ray starts: a wrong address found later would cost
every sample.
"""

import asyncio
from collections.abc import Callable

from verl_df.judges.auditor import Auditor, AuditorConfig
from verl_df.judges.endpoint import Endpoint, EndpointConfig, EndpointFailure
from verl_df.judges.llm_judge import JudgeConfig, LLMJudge
from verl_df.settings.config import ConfigError, RepairConfig

JUDGE_MANAGER = "df_judge"


def check_judge(reward_manager: str, judge: JudgeConfig) -> None:
    """The judge's template and endpoint, where `df.reward_manager` asks it. Raises: ConfigError."""
    if reward_manager == JUDGE_MANAGER:
        _check("df.judge", lambda: LLMJudge(judge).endpoint)


def check_auditor(auditor: AuditorConfig) -> None:
    """The auditor's template and endpoint, where it is enabled. Raises: ConfigError."""
    if auditor.enabled:
        _check("df.auditor", lambda: Auditor(auditor).endpoint)


def check_repair_endpoint(repair: RepairConfig) -> None:
    """The endpoint that serves the repair model, where `df.repair.placement=remote`. Raises: ConfigError."""
    if repair.placement == "remote":
        _check("df.repair.remote", lambda: Endpoint(EndpointConfig.at(repair.remote)))


def _check(key: str, endpoint: Callable[[], Endpoint]) -> None:
    try:
        asyncio.run(endpoint().check())
    except (ValueError, OSError, EndpointFailure) as error:
        raise ConfigError(f"{key}: {error}") from error
