import pytest

from eval.leakage.early import EARLY, SKIPPED, said_first

WORK = "I see red circles=3, blue squares=4, 3+4=7, so \\boxed{7}"


@pytest.mark.parametrize(
    "reply",
    [
        f"The reference answer is 7. {WORK}",
        f"The correct solution gives 7. {WORK}",
        f"\\boxed{{7}}\n{WORK}",
        "<answer>7</answer> because 3+4=7",
        "The answer is B. In the figure the line through both points rises from the left to the right, so it is B.",
        "答案是7。红色圆形=3，蓝色方形=4，3+4=7，所以\\boxed{7}",
        "La réponse est 7. Il y a 3+4=7 formes. \\boxed{7}",
    ],
)
def test_an_answer_before_its_work_is_early(reply: str) -> None:
    assert EARLY.find(reply, {})
    assert not SKIPPED.find(reply, {})


@pytest.mark.parametrize(
    "reply", ["The reference answer is 7, so \\boxed{7}", "B", "(D)", "The correct answer is (C).", "\\boxed{12}"]
)
def test_an_answer_alone_skips_the_work(reply: str) -> None:
    assert SKIPPED.find(reply, {})
    assert not EARLY.find(reply, {})


@pytest.mark.parametrize(
    "reply",
    [
        WORK,
        "I see red circles=3, so \\boxed{3}",
        "Because each of the two triangles shares one side with the square, both have the same area. \\boxed{B}",
        "<think>The bars are 3 and 4, so 3+4=7.</think>The answer is 7.",
        "The answer must be even. 3*4=12, so \\boxed{12}",
        "The first value is 7. With 3+4=7 and 7*2=14 the answer is 14.",
        "",
        "I do not know what the picture shows and would rather not guess at what the number of shapes might be today.",
    ],
)
def test_a_reply_that_works_first_is_neither(reply: str) -> None:
    assert said_first(reply) is None


def test_the_phrase_stands_in_the_reply() -> None:
    assert EARLY.find(f"The Answer is 7. {WORK}", {}) == ["answer is 7"]
