"""What the mention detector knows of one language."""

import re
from typing import NamedTuple


class Patterns(NamedTuple):
    """All three are matched against lower-case text with single spaces.

    cues: groups of strings. A sentence that lacks all strings of a group is clean, so that most of them cost no
        regular expression.
    innocent: ordinary mathematics and prose that `mention` would catch; taken out first.
    mention: the phrases that speak of an answer, solution or reference.
    """

    cues: tuple[tuple[str, ...], ...]
    innocent: re.Pattern[str]
    mention: re.Pattern[str]
