# SPDX-License-Identifier: Apache-2.0
"""Judge and auditor of a run, asked once before Ray starts: a wrong address found later would cost every sample."""

import asyncio
from collections.abc import Callable

from verl_df.judges.auditor import Auditor, AuditorConfig
from verl_df.judges.endpoint import Endpoint, EndpointFailure
from verl_df.judges.llm_judge import JudgeConfig, LLMJudge
from verl_df.settings.config import ConfigError

JUDGE_MANAGER = "df_judge"


def check_judge(reward_manager: str, judge: JudgeConfig) -> None:
    """The judge's template and endpoint, where `df.reward_manager` asks it. Raises: ConfigError."""
    if reward_manager == JUDGE_MANAGER:
        _check("df.judge", lambda: LLMJudge(judge).endpoint)


def check_auditor(auditor: AuditorConfig) -> None:
    """The auditor's template and endpoint, where it is enabled. Raises: ConfigError."""
    if auditor.enabled:
        _check("df.auditor", lambda: Auditor(auditor).endpoint)


def _check(key: str, endpoint: Callable[[], Endpoint]) -> None:
    try:
        asyncio.run(endpoint().check())
    except (ValueError, OSError, EndpointFailure) as error:
        raise ConfigError(f"{key}: {error}") from error
