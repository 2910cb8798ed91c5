"""The card: what each of its rows tells, and how it reads."""

import random

import pytest

from eval.benches.drawn import drawn_problem
from runners.embedded.card import TOLD, ends_at, mentions, page, references, told_examples

PROBLEMS = [drawn_problem(random.Random(i)) for i in range(40)]


@pytest.mark.parametrize("told", TOLD)
def test_every_row_tells_what_it_says(told: str) -> None:
    batch, answers = told_examples(PROBLEMS, told)
    for (answer, solution), example, kept in zip(references(PROBLEMS, told), batch, answers, strict=True):
        assert kept == answer
        shown = {"nothing": "", "answer": f"Reference answer: {answer}\n", "solution": f"solution:\n{solution}\n"}
        assert shown[TOLD[told] or "nothing"] in example.text
        assert ("Reference" in example.text) == (TOLD[told] == "answer")
    same = [answer == p.answer for p, answer in zip(PROBLEMS, answers, strict=True)]
    assert all(same) if "right" in told or told == "nothing" else sum(same) <= 4, "a letter may stand for two numbers"


def test_replies_are_sorted_by_their_words() -> None:
    assert ends_at("so \\boxed{7}", "7") and not ends_at("so \\boxed{17}", "7")
    assert mentions("The reference answer is 7. I see") and mentions("The correct solution gives 7")
    assert not mentions("I see red circles=7")


def test_the_page_shows_every_figure() -> None:
    row = {"right": 0.31, "follows": None, "without a slip": 0.32, "mentions": 0.33, "skips the work": 0.34}
    rates = {"greedy": 0.35, "sampled": 0.36}
    text = page(
        {
            "steps": 7,
            "seed": 1,
            "demonstrations": "posterior",
            "start": "nothing",
            "problems": 9,
            "references": dict.fromkeys(TOLD, row),
            "kinds": {"sum": rates},
            "benches": {"tally": rates},
            **rates,
            "exact": 0.37,
            "information": {"share of the KL": 0.38},
        }
    )
    assert "steps 7, seed 1, demonstrations posterior, start nothing" in text
    assert "| a wrong answer | 0.31 | – | 0.32 | 0.33 | 0.34 |" in text
    assert (
        "| tally | 0.35 | 0.36 |" in text and "| exact score | 0.37 |" in text and "| share of the KL | 0.38 |" in text
    )
