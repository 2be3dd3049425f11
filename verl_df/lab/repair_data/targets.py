# SPDX-License-Identifier: Apache-2.0
"""What a target y* must satisfy besides a right answer."""

from transformers import PreTrainedTokenizerBase

from verl_df.lab.repair_data.records import RepairSample
from verl_df.method.alignment import edit_distance
from verl_df.method.checks import marker_in


def line_ends_as_in(response: str, target: str) -> str:
    """The target with the line ends of the response: an editor's \\r\\n would count as edits, and be learnt."""
    return target if "\r" in response else target.replace("\r\n", "\n").replace("\r", "\n")


class TargetChecker:
    """Checks targets against their samples, in tokens of the policy's tokenizer.

    Args:
        tokenizer: of the policy.
        max_tokens: longest y*, end token included.
        max_edit_ratio: most A_edit / max(1, |y|); None: any.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, max_tokens: int, max_edit_ratio: float | None = None
    ) -> None:
        self._tokenizer, self._max_tokens, self._max_edit_ratio = tokenizer, max_tokens, max_edit_ratio
        listed = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._special = listed | set(tokenizer.all_special_ids)

    def problem(self, sample: RepairSample, target: str) -> str | None:
        """What is wrong with a target, whatever its answer; None: nothing."""
        if not target.strip():
            return "the target is empty"
        if target == sample.response:
            return "the target equals the wrong response: nothing was repaired"
        marker = marker_in(target)
        if marker:
            return f"the target holds the marker {marker}, to which no image belongs: take it out"
        ids = self._tokenizer.encode(target, add_special_tokens=False)
        special = next((token for token in ids if token in self._special), None)
        if special is not None:
            return f"the target holds the special token {self._tokenizer.decode([special])}: take it out"
        if len(ids) + 1 > self._max_tokens:
            return f"the target has {len(ids) + 1} tokens, the limit is {self._max_tokens} (--max-tokens)"
        ratio, limit = self.edit_ratio(sample, target), self._max_edit_ratio
        if limit is not None and ratio > limit:
            return f"the target's edit ratio is {ratio:.3f}, the limit is {limit} (--max-edit-ratio)"
        return None

    def edit_ratio(self, sample: RepairSample, target: str) -> float:
        """A_edit(y, y*) / max(1, |y|) in tokens (Eq. 4). y is finished, and y* ends with its end token."""
        ids = [*self._tokenizer.encode(target, add_special_tokens=False), *sample.response_ids[-1:]]
        return edit_distance(sample.response_ids, ids) / max(1, len(sample.response_ids))
