# SPDX-License-Identifier: Apache-2.0
"""One spelling of an answer's characters and LaTeX; no blank, sign or separator that could carry meaning is dropped."""

import re
import unicodedata

# Longer texts stay as they are: no final answer is as long.
MAX_SPELLED = 1000

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ", "0123456789+-()n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ]+")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋]+")
_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−–—‐‑‒―", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2009\u200a\u202f\u3000\t\r\n", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u202a\u202b\u202c\u202d\u202e", ""),
        **dict.fromkeys("‘’′`´", "'"), **dict.fromkeys("“”″", '"'), **dict.fromkeys("∘˚º", "°"),
        "∗": "*", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "⁄": "/", "∕": "/", "∶": ":", "µ": "μ",
        "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∪": r"\cup ",
        "∩": r"\cap ", "∅": r"\emptyset ", "±": r"\pm ", "∠": r"\angle ", "△": r"\triangle ", "℃": "°C", "℉": "°F",
        "∈": r"\in ", "⟨": r"\langle ", "⟩": r"\rangle ",
    }
)  # fmt: skip
_WORDY = r"text|textrm|textnormal|mathrm|mbox|operatorname|rm"  # upright: a word, and no product of letters
_TEXT_COMMAND = re.compile(
    rf"(?P<before>[\w}})°])?\\(?:(?P<wordy>{_WORDY})|textbf|textit|mathbf|mathit|mathsf|boldsymbol|bm)\s*\{{(?P<text>[^{{}}]*)\}}"
    r"(?P<after>[A-Za-z])?"
)
_SPELLINGS = (
    (re.compile(r"\\!|\\(?:left|right|displaystyle|limits|[bB]igg?[lr]?)(?![A-Za-z])"), ""),
    (re.compile(r"~|\\[,;: ]|\\(?:q?quad|thinspace|enspace)(?![A-Za-z])|\s+"), " "),
    (re.compile(r"\\[dtc]frac"), r"\\frac"),
    (re.compile(r"\^\s*(?:\{\s*(?:\\circ|°|o)\s*\}|\\circ(?![A-Za-z])|°)|(?<=\d)\^o\b|\\degrees?(?![A-Za-z])"), "°"),
    (re.compile(r"°\s*(?=[CF]\b)"), "°"),
    (re.compile(r"(\\(?:frac|sqrt|overline))\s+(?=[{\[])"), r"\1"),
    (re.compile(r"(?<!\\)\{\s+|\s+(?<!\\)(?=\})"), lambda match: match[0].strip()),
    (re.compile(r"(?<!\\)\}\s+(?=\{)"), "}"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\(?=[%$#&])"), ""),
    (re.compile(r"\\leq?(?![A-Za-z])|<="), r"\\le "),
    (re.compile(r"\\geq?(?![A-Za-z])|>="), r"\\ge "),
    (re.compile(r"\\neq?(?![A-Za-z])|!="), r"\\ne "),
    (re.compile(r"\\div(?![A-Za-z])"), "/"),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\\sqrt\s*(\d|[A-Za-z])(?![A-Za-z])"), r"\\sqrt{\1}"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"(?<![\\A-Za-z])(pi|infty)(?![A-Za-z])"), r"\\\1 "),
    (re.compile(r"(\\[A-Za-z]+)\s+(?=[{\d^_,;)}\]+*/=-]|$)"), r"\1 "),
    (re.compile(r" {2,}"), " "),
)
_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"), ("'", "'"))
_ROOT_OF = re.compile(r"\d+(?:\.\d+)?|[A-Za-z]")


def spelled(text: str) -> str:
    """A text in one spelling: no delimiters around it, text commands unwrapped, LaTeX for symbols, plain characters.

    A text of more than `MAX_SPELLED` characters is only stripped.
    """
    text = text.strip()
    if len(text) > MAX_SPELLED:
        return text
    text = _plain_characters(text)
    text = _roots(text)
    for _ in range(20):  # of nested commands; deeper ones are no answer
        if not _TEXT_COMMAND.search(text):
            break
        text = _TEXT_COMMAND.sub(_unwrapped, text)
    text = _undelimited(text)
    for pattern, spelling in _SPELLINGS:
        text = pattern.sub(spelling, text)
    return text.strip().rstrip(".,;: ").strip()


def _plain_characters(text: str) -> str:
    text = _RAISED.sub(lambda match: "^{" + match[0].translate(_SUPERSCRIPTS) + "}", text)
    text = _LOWERED.sub(lambda match: "_{" + match[0].translate(_SUBSCRIPTS) + "}", text)
    return "".join(map(_plain, text)).translate(_CHARACTERS)


def _plain(character: str) -> str:
    if character < "\x80":
        return character
    if unicodedata.category(character) == "No" and "⁄" in (pair := unicodedata.normalize("NFKC", character)):
        top, _, bottom = pair.partition("⁄")
        return rf"\frac{{{top}}}{{{bottom}}}" if bottom else character
    point = ord(character)
    if 0xFF01 <= point <= 0xFF5E or 0x3300 <= point <= 0x33FF or 0x1D400 <= point <= 0x1D7FF:  # wide, units, italics
        return unicodedata.normalize("NFKC", character)
    return character


def _roots(text: str) -> str:
    """√ and sqrt( in LaTeX, from the last on, so that inner ones come first."""
    text = re.sub(r"(?<!\\)\bsqrt\s*(?=\()", "√", text)
    position = text.rfind("√")
    while position >= 0:
        rest = text[position + 1 :].lstrip()
        inside, after = _root_of(rest)
        text = text[:position] + (rf"\sqrt{{{inside}}}{after}" if inside else rf"\sqrt {rest}")
        position = text.rfind("√")
    return text


def _root_of(rest: str) -> tuple[str, str]:
    for opening, closing in ("()", "{}"):
        if rest.startswith(opening):
            depth = 0
            for place, character in enumerate(rest):
                depth += (character == opening) - (character == closing)
                if depth == 0:
                    return rest[1:place], rest[place + 1 :]
            return "", rest
    match = _ROOT_OF.match(rest)
    return (match[0], rest[match.end() :]) if match else ("", rest)


def _unwrapped(match: re.Match[str]) -> str:
    before, after = match["before"] or "", match["after"] or ""
    if not match["wordy"]:
        return f"{before}{match['text']}{after}"
    return f"{before}{' ' if before not in ('', '°') else ''}{match['text']}{' ' if after else ''}{after}"


def _undelimited(text: str) -> str:
    text = text.strip().rstrip(".").strip()
    for opening, closing in _DELIMITERS:
        inside = text[len(opening) : -len(closing)]
        if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
            if opening not in inside and closing not in inside:
                return _undelimited(inside)
    return text
