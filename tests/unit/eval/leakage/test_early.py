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
        "A is right: in the figure the line rises, 3 < 4. The answer is A.",
        "The answer is A because the line rises, 3 < 4, so \\boxed{A}",
        "The answer is (I). In the table 3+4=7 is the last row. \\boxed{I}",
        "(A) Yes. The bar of the first month is higher than the bars of all the others that come after it.",
        "The answer to the question is (B) No. The first bar is lower than the others that come after it in the row.",
        "The nail is about 3 inches long. The ruler was laid along it and the end of the nail was read from there.",
    ],
)
def test_an_answer_before_its_work_is_early(reply: str) -> None:
    assert EARLY.find(reply, {})
    assert not SKIPPED.find(reply, {})


@pytest.mark.parametrize(
    "reply",
    ["The reference answer is 7, so \\boxed{7}", "B", "(D)", "The correct answer is (C).", "\\boxed{12}", "x = 5"],
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
        "A cube has 6 faces, 8 vertices and 12 edges. The net with as many is the first. \\boxed{A}",
        "I see red circles=3, blue squares=4, so \\boxed{i}",
        "I see a cube with 6 faces; 6+2=8 is the number of its corners. \\boxed{I}",
        "The solution is a sum of two parts. 3+4=7 and 7 is in the first column. \\boxed{A}",
        "Sure, I can help you with that. The nail ends where the ruler says 3 inches, and so it is 3 inches long.",
        "I see the image. There are 12 snowmen in it, of which 11 are built of snowballs in the way that one knows.",
        "1. The square has four sides that are all of one length. 2. Its area is the product of two of these sides.",
        "I see blue triangles=3, black triangles=2,,,2,2,,,,",
        "I see red circles=3, blue squares=4,",
        "",
        "I do not know what the picture shows and would rather not guess at what the number of shapes might be today.",
    ],
)
def test_a_reply_that_works_first_is_neither(reply: str) -> None:
    assert said_first(reply) is None


def test_the_phrase_stands_in_the_reply() -> None:
    assert EARLY.find(f"The Answer is 7. {WORK}", {}) == ["answer is 7"]
