# SPDX-License-Identifier: Apache-2.0
"""Every kind's own examples, right and wrong, and that the kind decides over them."""

import pytest

from verl_df.judges.final_answer import judge
from verl_df.judges.kinds import ALL_KINDS

EXAMPLES = [(kind, example) for kind in ALL_KINDS for example in kind.EXAMPLES]
ANSWERS = [
    (kind.NAME, example, answer, right)
    for kind, example in EXAMPLES
    for right, answers in ((True, (example.truth, *example.right)), (False, example.wrong))
    for answer in answers
]


@pytest.mark.parametrize(("name", "example", "answer", "right"), ANSWERS)
def test_examples(name, example, answer, right):
    extra = {"choices": list(example.choices)} if example.choices else None
    verdict = judge(f"So \\boxed{{{answer}}}", example.truth, extra)
    assert (verdict.right, verdict.kind) == (right, name)
    assert verdict.why


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.NAME)
def test_every_kind_has_examples_and_says_what_it_does(kind):
    assert sum(len(example.right) for example in kind.EXAMPLES) >= 2
    assert sum(len(example.wrong) for example in kind.EXAMPLES) >= 3
    assert all(f"{word}: " in " ".join(kind.__doc__.split()) for word in ("Recognises", "Compares", "Refuses"))
