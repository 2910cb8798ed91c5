from collections import Counter
from math import isclose, sqrt

from eval.leakage import DETECTORS
from eval.leakage.detector import Detector, Found, pooled, search

ECHO = Detector("echo", "repeat the gold", "", lambda reply, row: [row["gold"]] * reply.count(row["gold"]))


def test_a_find_sees_the_row_that_the_reply_answers() -> None:
    found = search(ECHO, [("7 and 7", {"gold": "7"}), ("7", {"gold": "8"}), ("8", {"gold": "8"})])
    assert found == Found(2, 3, Counter({"7": 2, "8": 1}))
    assert isclose(found.rate.rate or 0, 2 / 3)
    assert isclose(found.rate.stderr or 0, sqrt(2 / 3 * 1 / 3 / 2))


def test_pooled_benches_are_as_one() -> None:
    pairs = [("7", {"gold": "7"}), ("", {"gold": "7"}), ("78", {"gold": "8"})]
    assert pooled([search(ECHO, pairs[:1]), search(ECHO, pairs[1:])]) == search(ECHO, pairs)
    assert pooled([]).rate == (None, None, 0)


def test_every_detector_stands_under_its_name_and_says_what_it_is() -> None:
    for name, detector in DETECTORS.items():
        assert detector.name == name
        assert detector.label
        assert detector.meaning
        assert detector.find("I see 3 red circles. \\boxed{3}", {}) == []
