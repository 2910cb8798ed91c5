"""Lists in the sentences of the page."""

import pytest

from reports.findings.words import listed


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([], ""),
        (["GRPO"], "GRPO"),
        (["GRPO", "OPSD"], "GRPO and OPSD"),
        (["GRPO", "OPSD", "RLSD"], "GRPO, OPSD and RLSD"),
        (["OPSD (+0.3, p .5)", "SDPO (-0.1, p .7)"], "OPSD (+0.3, p .5) and SDPO (-0.1, p .7)"),
        (["RLSD, told wrong", "GRPO"], "RLSD, told wrong; and GRPO"),
        (["RLSD, told wrong", "GRPO", "OPSD"], "RLSD, told wrong; GRPO; and OPSD"),
        ([*"abcdefgh"], "a, b, c, d, e and 3 more"),
    ],
)
def test_a_list_can_be_read_whatever_its_parts_have_in_them(parts, words):
    assert listed(parts) == words
