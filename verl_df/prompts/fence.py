# SPDX-License-Identifier: Apache-2.0
"""Texts of others in the prompts of judge and auditor: each between two lines that it cannot hold."""

import re
from collections.abc import Mapping
from hashlib import blake2b

# Spellings that a tokenizer takes for control tokens, with which a text could end the user's message and speak for the
# judge: <|im_end|> and its kin, </s>, <end_of_turn>, [/INST], <img> and <IMG_CONTEXT>. Markers of images are dropped
# when the template is filled.
_CONTROL = re.compile(r"<(?=[|｜]|/?s>|(?:start|end)_of_turn>|/?(?:img|box|ref|quad)>|IMG_CONTEXT>)|\[(?=/?INST\])")


def fenced(values: Mapping[str, str]) -> dict[str, str]:
    """The values of a prompt, each between a line `BEGIN name mark` and a line `END name mark`.

    The mark is a hash of all the values, so that none can hold it: a text would have to hold its own hash. It is no
    random number, for the same question is then the same prompt, and a greedy judge gives the same verdict again.

    In spellings of control tokens a space follows the first character, so that they are text for every tokenizer.

    Args:
        values: the texts by their names.
    """
    plain = {name: _CONTROL.sub(lambda match: match[0] + " ", text) for name, text in values.items()}
    content = b"\0".join(part.encode("utf-8", "surrogatepass") for pair in sorted(plain.items()) for part in pair)
    mark = blake2b(content, digest_size=8).hexdigest()
    return {name: f"BEGIN {name} {mark}\n{text}\nEND {name} {mark}" for name, text in plain.items()}
