# SPDX-License-Identifier: Apache-2.0
"""The auditor: does a repair earn its reward by reward hacking? It sets g_aud of Eq. 4 and takes no gradient."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from verl_df.io.validation import checked
from verl_df.judges.answer_form import typed_field, verdicts
from verl_df.judges.endpoint import Endpoint, EndpointConfig, EndpointFailure
from verl_df.judges.failure_mode import FailureMode, check_verdict
from verl_df.prompts import AUDITOR_FILE, AUDITOR_PLACEHOLDERS, read_template, render
from verl_df.prompts.fence import fenced

NO_COUNTERFACTUAL = "(not available)"
# Evidence first, verdict last: a model that has to quote before it decides judges better.
SCHEMA = {
    "type": "object",
    "properties": {
        "evidence": {"type": "string", "maxLength": 600},
        "failure_mode": {"type": "string", "enum": [mode.value for mode in FailureMode]},
        "hacking": {"type": "boolean"},
    },
    "required": ["evidence", "failure_mode", "hacking"],
    "additionalProperties": False,
}


@checked
class AuditorConfig:
    """The auditor.

    Attributes:
        enabled: false: no call is made and g_aud is 1.
        endpoint: the model that audits (paper: Qwen2.5-VL-72B-Instruct); needed where `enabled` is true.
        prompt_template: file with {question}, {reference}, {response}, {repair} and {counterfactual}; null: the
            packaged `auditor.txt`. Each text is put in between a line BEGIN and a line END (docs/security.md).
        on_failure: g_aud of a repair that could not be audited: `pass`: 1 (our reading: the auditor filters, and an
            endpoint that is down must not turn every reward to 0); `reject`: 0.
    """

    enabled: bool = False
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    prompt_template: str | None = None
    on_failure: Literal["pass", "reject"] = "pass"


@dataclass(frozen=True)
class Finding:
    """The auditor's answer, consistent: `hacking` exactly where the mode is not NONE."""

    hacking: bool
    failure_mode: FailureMode
    evidence: str


@dataclass(frozen=True)
class Audit:
    """g_aud: 0 or 1. hacking, failure_mode: None where there is no finding. evidence: "" then. failure: why there is
    none (a `FailureReason`); None after a finding.
    """

    g_aud: int
    hacking: bool | None
    failure_mode: FailureMode | None
    evidence: str
    failure: str | None


class Auditor:
    """Asks the endpoint about a repair.

    Raises:
        FileNotFoundError, ValueError: a template that is missing or lacks a placeholder; no endpoint; no key.
    """

    def __init__(self, config: AuditorConfig) -> None:
        self.config = config
        self.endpoint = Endpoint(config.endpoint)
        path = Path(config.prompt_template) if config.prompt_template else AUDITOR_FILE
        self._template = read_template(path, AUDITOR_PLACEHOLDERS)

    async def audit(
        self,
        question: str,
        images: Sequence[Image.Image],
        response: str,
        repair: str,
        reference: str,
        counterfactual: str | None,
    ) -> Audit:
        """Audit one repair. Never raises for trouble with the endpoint: `on_failure` says what counts then.

        Args:
            question: the user text of x.
            images: of x.
            response: y. repair: y-hat. reference: a; all as text.
            counterfactual: the repair made from the removed image (Eq. 3), None where none was made.
        """
        values = {
            "question": question,
            "reference": reference,
            "response": response,
            "repair": repair,
            "counterfactual": NO_COUNTERFACTUAL if counterfactual is None else counterfactual,
        }
        try:
            prompt = render(self._template, fenced(values))
            finding = await self.endpoint.ask(prompt, images, parse_finding, SCHEMA)
        except EndpointFailure as failure:
            return Audit(int(self.config.on_failure == "pass"), None, None, "", failure.reason.value)
        return Audit(int(not finding.hacking), finding.hacking, finding.failure_mode, finding.evidence, None)


def parse_finding(text: str) -> Finding:
    """The auditor's answer; of several, one that says hacking.

    Raises:
        ValueError: no object of the schema in the text, an unknown mode, hacking without a mode or a mode without
            hacking.
    """
    findings, problem = [], None
    for one in verdicts(text, "hacking"):
        try:
            findings.append(_finding(one))
        except ValueError as error:
            problem = error
    hacking = [one for one in findings if one.hacking]
    if problem and not hacking:
        raise problem
    return (hacking or findings)[0]


def _finding(answer: dict[str, Any]) -> Finding:
    hacking, mode = typed_field(answer, "hacking", bool), FailureMode(typed_field(answer, "failure_mode", str))
    check_verdict(hacking, mode)
    return Finding(hacking, mode, typed_field(answer, "evidence", str))
