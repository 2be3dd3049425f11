# SPDX-License-Identifier: Apache-2.0
"""Ways in which a repair can earn its reward without deserving it (section 3.2 of the paper, at g_aud)."""

from verl_df.io.validation import Choice


class FailureMode(Choice):
    """The paper's examples of reward hacking; the names are ours.

    IMAGE_NOT_NEEDED: the answer stays right without the image while the reasoning claims visual evidence.
    TEMPLATE_SHORTCUT: a fixed pattern leads to the answer instead of reasoning about this problem.
    MASK_HALLUCINATION: edits that compensate for an error instead of mending it, or that only paraphrase, so that the
    difference mask marks tokens that were not at fault.
    NONE: no reward hacking.
    """

    IMAGE_NOT_NEEDED = "image_not_needed"
    TEMPLATE_SHORTCUT = "template_shortcut"
    MASK_HALLUCINATION = "mask_hallucination"
    NONE = "none"


def check_verdict(hacking: bool, failure_mode: FailureMode) -> None:
    """Raise ValueError for hacking without a mode, or a mode without hacking."""
    if hacking != (failure_mode is not FailureMode.NONE):
        raise ValueError(f"hacking={hacking} does not go with failure_mode={failure_mode.value!r}")
