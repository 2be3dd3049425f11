# SPDX-License-Identifier: Apache-2.0
"""Characters that show nothing, or change how others are shown, made visible."""

import re

# Control characters but tab and line feed, format characters (zero width, direction marks, tags), separators of lines
# and paragraphs, halves of surrogate pairs. In a terminal they move the cursor or hide text; on a page they put it in
# another order than it was written and read.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """The text with such characters as escapes: `\\x1b`, `\\u202e`."""
    return _HIDDEN.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
