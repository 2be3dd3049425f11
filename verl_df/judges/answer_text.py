# SPDX-License-Identifier: Apache-2.0
"""From a response to the text of its final answer, and from that to one spelling."""

import re

# Of an answer without any mark: a response that is nothing but the answer.
MAX_BARE_CHARACTERS = 100

_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_PHRASE = re.compile(r"\banswer(?:\s+is\b\s*:?|\s*[:=])\s*", re.IGNORECASE)
_BOLD_AT_END = re.compile(r"^\s*\*\*|\*\*(?=\W*$)")  # of "**Answer:** B" and "the answer is **B**."
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname|boldsymbol)\s*\{([^{}]*)\}")
_SPELLINGS = (
    (re.compile(r"\\[!,;:]|\\(?:left|right|displaystyle|bigl?|bigr)(?![A-Za-z])"), ""),
    (re.compile(r"~|\\(?:quad|qquad|\s)|\s+"), " "),
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degrees?(?![A-Za-z])|º"), "°"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\(?=[%$#&])"), ""),
    (re.compile(r"\\leq(?![A-Za-z])"), r"\\le"),
    (re.compile(r"\\geq(?![A-Za-z])"), r"\\ge"),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"(?<!\\)\bsqrt\s*\(([^()]*)\)"), r"\\sqrt{\1}"),
    (re.compile(r"(?<![\\A-Za-z])(pi|infty)(?![A-Za-z])"), r"\\\1"),
)
_CHARACTERS = str.maketrans(
    {
        "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "⁄": "/", "π": r"\pi ", "∞": r"\infty ",
        "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∪": r"\cup ", "∩": r"\cap ", "∅": r"\emptyset ", "±": r"\pm ",
        "²": "^2", "³": "^3", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "\u00a0": " ",
    }
)  # fmt: skip
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|(\w+))")
_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"))


def final_answers(response: str) -> list[str]:
    """Readings of a response's final answer, the likeliest first; empty where it gives none.

    The content of the last complete `\\boxed{}`; without one, of the last `<answer>` tag; else what follows the last
    "answer is" or "answer:", to the end of the line or of the sentence; else the response itself if it is one short
    line.
    """
    boxed = last_boxed(response)
    if boxed is not None:
        return [boxed]
    tags = _TAG.findall(response)
    if tags:
        return [tags[-1].strip()]
    phrases = list(_PHRASE.finditer(response))
    if phrases:
        line = response[phrases[-1].end() :].strip().partition("\n")[0]
        line = _BOLD_AT_END.sub("", line).strip()
        sentence = re.split(r"\.\s", line, maxsplit=1)[0]
        return [text for text in dict.fromkeys((line, sentence)) if text]
    bare = response.strip()
    return [bare] if bare and "\n" not in bare and len(bare) <= MAX_BARE_CHARACTERS else []


def last_boxed(text: str) -> str | None:
    """Content of the last `\\boxed{...}` or `\\fbox{...}` whose braces balance, stripped; None without one."""
    closing = _closing_braces(text)
    for match in reversed(list(_BOXED.finditer(text))):
        if match.end() - 1 in closing:
            return text[match.end() : closing[match.end() - 1]].strip()
    return None


def _closing_braces(text: str) -> dict[int, int]:
    """Position of the closing brace by that of the opening one; \\{ and \\}, the braces of a set, balance as well."""
    pairs, opened = {}, []
    for match in re.finditer("[{}]", text):
        if match[0] == "{":
            opened.append(match.start())
        elif opened:
            pairs[opened.pop()] = match.start()
    return pairs


def normalise(text: str) -> str:
    """One spelling of an answer: no delimiters, no spacing commands, text commands unwrapped, LaTeX for symbols."""
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match[1] or match[2]}}}", text).translate(_CHARACTERS)
    while _TEXT_COMMAND.search(text):
        text = _TEXT_COMMAND.sub(r"\1", text)
    text = _undelimited(text)
    for pattern, spelling in _SPELLINGS:
        text = pattern.sub(spelling, text)
    text = re.sub(r"^\$\s*(?=[\d.-])", "", text.strip())  # $12: the currency; an amount may come without it
    return text.strip().rstrip(".,;: ").strip()


def _undelimited(text: str) -> str:
    text = text.strip().rstrip(".").strip()
    for opening, closing in _DELIMITERS:
        inside = text[len(opening) : -len(closing)]
        if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
            if opening not in inside and closing not in inside:
                return _undelimited(inside)
    return text
