from collections import Counter
from math import isclose, sqrt

from eval.leakage import DETECTORS
from eval.leakage.detector import Detector, Found, search, share

ECHO = Detector("echo", "repeat the gold", "", lambda reply, row: [row["gold"]] * reply.count(row["gold"]))


def test_a_find_sees_the_row_that_the_reply_answers() -> None:
    found = search(ECHO, [("7 and 7", {"gold": "7"}), ("7", {"gold": "8"}), ("8", {"gold": "8"})])
    assert found == Found([0, 2], 3, Counter({"7": 2, "8": 1}))


def test_a_share_has_its_binomial_error() -> None:
    rate, stderr, n = share(2, 3)
    assert isclose(rate or 0, 2 / 3)
    assert isclose(stderr or 0, sqrt(2 / 3 * 1 / 3 / 2))
    assert n == 3
    assert share(0, 0) == (None, None, 0)
    assert share(1, 1) == (1.0, None, 1)


def test_every_detector_stands_under_its_name_and_says_what_it_is() -> None:
    for name, detector in DETECTORS.items():
        assert detector.name == name
        assert detector.label
        assert detector.meaning
        assert detector.find("I see 3 red circles. \\boxed{3}", {}) == []
