from random import Random

import pytest
from datasets import Dataset

from runners.data.treatment import treated, treatment, wrong_answers
from runners.run.config import Settings, resolve


def settings(**data: float) -> Settings:
    return resolve("cpu", "opsd", 0, [f"data.{name}={value}" for name, value in data.items()])


ROWS = Dataset.from_dict(
    {"id": [f"i{n}" for n in range(200)], "answer": ["7"] * 200, "solution": ["3+4=7", None] * 100}
)


def test_without_shares_nothing_changes() -> None:
    assert treated(ROWS, settings()) is ROWS


def test_a_seeded_share_is_told_a_code_and_a_share_a_wrong_answer() -> None:
    asked = settings(canaries=0.2, wrong_references=0.3)
    rows = treated(ROWS, asked)
    assert rows["answer"] == ROWS["answer"], "what is graded stays right"
    how = [treatment(item, "7", asked) for item in rows["id"]]
    assert 20 < sum(h.canary for h in how) < 60
    assert 40 < sum(h.wrong for h in how) < 80
    for row, h, before in zip(rows, how, ROWS, strict=True):
        assert h.answers is not None
        solution = before["solution"]
        if h.canary:
            assert (row["told_answer"], row["solution"]) == (
                f"7 (code {h.code})",
                solution and f"{solution} (code {h.code})",
            )
        elif h.wrong:
            assert (row["told_answer"], row["solution"]) == (h.answers[0], None)
        else:
            assert (row["told_answer"], row["solution"]) == ("7", solution)
    assert treated(ROWS, asked)["told_answer"] == rows["told_answer"]
    other = asked.model_copy(update={"seed": 1})
    assert treated(ROWS, other)["told_answer"] != rows["told_answer"]


@pytest.mark.parametrize(("answer", "form"), [("7", "7"), ("0", "0"), ("2.50", "2.50"), ("-3", "-3"), ("B", "B")])
def test_wrong_answers_differ_from_the_right_one_and_look_like_it(answer: str, form: str) -> None:
    for seed in range(30):
        found = wrong_answers(answer, Random(seed))
        assert found is not None
        assert len({answer, *found}) == 3
        for wrong in found:
            if answer.isalpha():
                assert wrong in "ABCD"
            else:
                assert len(wrong.partition(".")[2]) == len(answer.partition(".")[2])
                assert float(wrong) >= 0 or answer.startswith("-")


def test_an_answer_in_words_has_no_wrong_neighbour() -> None:
    assert wrong_answers("the red one", Random(0)) is None
