from math import isclose, sqrt

import pytest

from eval.leakage import mentions, rate


@pytest.mark.parametrize(
    "reply",
    [
        "The reference answer is 7. I see 2 red circles.",
        "The correct solution gives 5.",
        "As the provided\n solution says, add both.",
        "This matches the given answer.",
        "According to the reference, it is 4.",
        "The known answer is 3",
        "compared with the ground truth",
        "Looking at the Answer Key: 4",
        "the answer provided to me is 4",
        "The expected answer is 12.",
        "The correct answer is given as 5.",
    ],
)
def test_talk_about_an_unseen_reference_is_found(reply: str) -> None:
    assert mentions(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "The reference angle is 30 degrees, so the answer is 60.",
        "In this frame of reference the solution is simple.",
        "Given that x = 2, the answer is 4.",
        "Among the given answer choices, B fits.",
        "The correct answer is C.",
        "The answer is given by 2x + 3.",
        "The solution of the given equation is 4.",
        "A known solution of the equation is x = 1.",
        "The given solution contains 5 % salt.",
        "I see 3 red circles. 3 + 2 = 5. \\boxed{5}",
        "",
    ],
)
def test_ordinary_mathematics_is_not(reply: str) -> None:
    assert mentions(reply) == []


def test_phrases_come_in_order_and_lower_case() -> None:
    assert mentions("The Reference Answer is 7; the correct solution gives 7.") == [
        "reference answer",
        "correct solution gives",
    ]


def test_rate_counts_replies_and_phrases_count_mentions() -> None:
    found, phrases = rate(["the reference answer is the reference answer", "clean", "clean", "ground truth"])
    assert (found.rate, found.n) == (0.5, 4)
    assert isclose(found.stderr or 0, sqrt(0.25 / 3))
    assert phrases == {"reference answer": 2, "ground truth": 1}
    assert rate([])[0] == (None, None, 0)
