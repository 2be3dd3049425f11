# SPDX-License-Identifier: Apache-2.0
"""Choose a handful of error/repair pairs and show them token by token."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from verl_df.lab.report.loading import IMAGES_DIR
from verl_df.lab.report.svg import format_number
from verl_df.method.records import PairRecord, TokenSide

DEFAULT_PAIRS = 6

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}


def choose_pairs(records: Sequence[PairRecord], count: int) -> list[PairRecord]:
    """Pick up to ``count`` repaired pairs, spread over the run and not by how good they look.

    The repaired records are cut, in order of step, into ``count`` stretches of equal size; each stretch gives the
    pair of median edit distance, among the prompts not shown yet where there are any.

    Raises:
        ValueError: ``count`` is not positive.
    """
    if count < 1:
        raise ValueError(f"the number of pairs to show must be at least 1, got {count}")
    repaired = sorted((record for record in records if record.repair is not None), key=lambda record: record.step)
    count = min(count, len(repaired))
    chosen: list[PairRecord] = []
    for index in range(count):
        stretch = repaired[index * len(repaired) // count : (index + 1) * len(repaired) // count]
        shown = {record.uid for record in chosen}
        chosen.append(_median_pair([record for record in stretch if record.uid not in shown] or stretch))
    return chosen


def _median_pair(stretch: Sequence[PairRecord]) -> PairRecord:
    by_distance = sorted(stretch, key=lambda record: record.edit_distance or 0)
    return by_distance[(len(by_distance) - 1) // 2]


def render_pair(record: PairRecord, run: Path) -> str:
    """One pair as HTML: image, question, reference, and both responses with mask, gate and truth on their tokens.

    Raises:
        FileNotFoundError: an image named by the record is not in the run's image folder.
        ValueError: an image has a suffix that a browser does not show.
    """
    images = "".join(image_tag(run / IMAGES_DIR / name) for name in record.images)
    context = f'<div class="context">{images}<p class="label">Prompt</p><pre>{escape(record.prompt)}</pre></div>'
    error = _response("error", "Wrong response", record.error, record.truth_mask)
    repair = _response("repair", "Repair", record.repair, None) if record.repair is not None else ""
    reference = "full correct sibling" if record.reference_kind == "sibling" else record.reference_kind
    return (
        f'<article class="pair"><div class="chips">{_chips(record)}</div>'
        f'<div class="pair-body">{context}{error}{repair}'
        f'<details class="reference" open><summary>Reference given to the repair model ({escape(reference)})</summary>'
        f"<pre>{escape(record.reference)}</pre></details></div></article>"
    )


def image_tag(path: Path) -> str:
    """The image as a data URI; the style sheet scales it up without blurring its pixels."""
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise ValueError(f"{path}: cannot show images of this kind; use one of {', '.join(MEDIA_TYPES)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found, though a pair names it: copy the run's {IMAGES_DIR} folder along")
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="input image" src="data:{media_type};base64,{content}">'


def render_tokens(tokens: TokenSide, truth: Sequence[bool] | None) -> str:
    """Spans of one response: outline = marked by the mask, tint = gate, underline = truly wrong; all texts escaped."""
    spans = []
    for index, (text, marked, gate) in enumerate(zip(tokens.tokens, tokens.mask, tokens.gate, strict=True)):
        wrong = truth is not None and bool(truth[index])
        spans.append(_token_span(text, marked=bool(marked), gate=float(gate), wrong=wrong))
    return "".join(spans)


def _token_span(text: str, *, marked: bool, gate: float, wrong: bool) -> str:
    classes = ["t"] + ["marked"] * marked + ["gated"] * (gate > 0) + ["wrong"] * wrong
    tooltip = f"gate {format_number(gate)}" + (", marked" if marked else "") + (", truly wrong" if wrong else "")
    tint = f' style="--g:{gate:.3g}"' if gate > 0 else ""
    return f'<span class="{" ".join(classes)}" title="{tooltip}"{tint}>{_token_text(text)}</span>'


def _token_text(text: str) -> str:
    # The line break itself is a token that a mask can mark: give it a glyph that can carry the colour.
    # A token that holds part of a character may decode to nothing.
    return escape(text).replace("\r", "").replace("\n", '<span class="break">⏎</span>\n') or "∅"


def _response(side: str, title: str, tokens: TokenSide, truth: Sequence[bool] | None) -> str:
    spans = render_tokens(tokens, truth)
    heading = f"{title} · reward {format_number(tokens.reward)} · {len(tokens.tokens)} tokens"
    return f'<div class="{side}"><p class="label">{heading}</p><pre class="tokens">{spans}</pre></div>'


def _chips(record: PairRecord) -> str:
    chips = [("step", str(record.step)), ("right answer", record.ground_truth)]
    if record.edit_distance is not None and record.edit_ratio is not None:
        chips.append(("edit distance", f"{record.edit_distance} ({record.edit_ratio:.1%} of the tokens)"))
    if record.truth_mask is not None:
        chips.append(("marked and truly wrong", _overlap(record.error.mask, record.truth_mask)))
    chips.append(("prompt", record.uid))
    return "".join(f"<span>{escape(name)} <b>{escape(value)}</b></span>" for name, value in chips)


def _overlap(mask: Sequence[bool], truth: Sequence[bool]) -> str:
    hits = sum(bool(marked) and bool(wrong) for marked, wrong in zip(mask, truth, strict=True))
    return f"{hits} of {sum(map(bool, mask))} marked, {hits} of {sum(map(bool, truth))} wrong"
