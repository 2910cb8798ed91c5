"""What the mention detector knows of one language."""

import re
from typing import NamedTuple


class Patterns(NamedTuple):
    """All three are matched against lower-case text with single spaces.

    cues: a reply without any of these strings is clean, so that most replies cost no regular expression.
    innocent: ordinary mathematics and prose that `mention` would catch; taken out first.
    mention: the phrases that speak of an answer, solution or reference.
    """

    cues: tuple[str, ...]
    innocent: re.Pattern[str]
    mention: re.Pattern[str]
