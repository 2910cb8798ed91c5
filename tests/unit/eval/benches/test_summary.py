from itertools import combinations
from math import sqrt
from statistics import stdev
from typing import Any

import pytest

from eval.benches import BENCHES
from eval.benches.summary import grade_all, score_text, summary
from eval.data.load import load_text
from eval.grading.score import Row, Verdict, pass_rates


def _verdicts(*of_rows: str, parsed: bool = True) -> list[list[Verdict]]:
    """`"+-"`: the first sample right, the second wrong; `"?"`: no gold."""
    truth = {"+": True, "-": False, "?": None}
    return [[Verdict("1", "boxed", parsed, truth[mark]) for mark in marks] for marks in of_rows]


def _mathvision(n: int, **columns: Any) -> list[Row]:
    return [{"id": str(i), "level": 1, "subject": "algebra", "options": [], **columns} for i in range(n)]


def _wemath(problem: str, steps: int) -> list[Row]:
    names = [*map(str, range(1, steps + 1)), "multi"]
    return [{"ID": problem, "key": f"{steps}steps_{name}", "knowledge concept": f"c{name}"} for name in names]


def test_several_samples_are_averaged_and_pass_at_k_is_unbiased() -> None:
    found = summary(BENCHES["mathvision"], _mathvision(3), _verdicts("++++", "-+--", "----"))
    scores = found["scores"]
    assert (found["n"], found["samples"], found["ungraded"]) == (3, 4, 0)
    assert found["score"] == pytest.approx(5 / 12)
    assert found["stderr"] == pytest.approx(stdev([1, 0.25, 0]) / sqrt(3))
    assert scores["correct"] == pytest.approx(5 / 4)
    passes = {name: value for name, value in scores.items() if name.startswith("pass")}
    assert passes == pytest.approx({"pass@1": 5 / 12, "pass@2": 1.5 / 3, "pass@4": 2 / 3, "pass^4": 1 / 3})


def test_pass_at_k_equals_the_share_of_all_choices_of_k() -> None:
    for c in range(7):
        rates = pass_rates([c], 6)
        assert list(rates) == ["pass@1", "pass@2", "pass@4", "pass@5", "pass@6", "pass^6"]
        for k in (1, 2, 4, 5, 6):
            choices = list(combinations([True] * c + [False] * (6 - c), k))
            assert rates[f"pass@{k}"] == pytest.approx(sum(map(any, choices)) / len(choices))
    found = pass_rates([0, 5, 2, 1], 5)
    assert [found[name] for name in ("pass@1", "pass@5", "pass^5")] == [0.4, 0.75, 0.25]


@pytest.mark.parametrize("bench", BENCHES)
def test_one_sample_is_the_benchs_own_aggregate(bench: str) -> None:
    rows = load_text(bench, "mini")
    replies = [[f"\\boxed{{{row[BENCHES[bench].answer] if i % 7 else 'none'}}}"] for i, row in enumerate(rows)]
    verdicts = grade_all(BENCHES[bench], rows, replies, "default")
    total = BENCHES[bench].aggregate([(row, judged[0].correct) for row, judged in zip(rows, verdicts, strict=True)])
    found = summary(BENCHES[bench], rows, verdicts)
    assert (found["score"], found["stderr"], found["n"]) == (total.score, pytest.approx(total.stderr), total.n)
    assert found["scores"] == total.scores
    assert {type(value) for value in found["scores"].values()} <= {int, float, type(None)}
    assert found["wrappers"]["boxed"] == len(rows)
    assert 0 < found["score"] < 1


def test_wemath_averages_worth_and_counts_and_passes_over_rows() -> None:
    rows = [*_wemath("a", 2), *_wemath("b", 2)]
    # a: mastered, then its parts only (half a point); b: nothing, then the whole without its parts.
    verdicts = _verdicts("++", "++", "+-", "--", "--", "-+")
    found = summary(BENCHES["wemath"], rows, verdicts)
    scores = found["scores"]
    assert (found["score"], found["n"]) == (pytest.approx(0.75 / 2), 2)
    assert found["stderr"] == pytest.approx(stdev([0.75, 0]) / sqrt(2))
    assert [scores[f"strict/{c}"] for c in ("CM", "IG", "RM", "IK")] == [0.5, 0.5, 0.5, 0.5]
    assert scores["strict/RM_rate"] == pytest.approx((0 / 1 + 1 / 1) / 2)
    assert (scores["S1"], scores["S2"], scores["S3"]) == (0.5, 0.5, None)
    assert (scores["concept/c1"], scores["concept/c2"]) == (0.5, 0.5)
    assert "concept/cmulti" not in scores
    assert (scores["pass@1"], scores["pass@2"], scores["pass^2"]) == (pytest.approx(6 / 12), 4 / 6, 2 / 6)


def test_a_rate_without_denominator_in_one_sample_is_that_of_the_others() -> None:
    found = summary(BENCHES["wemath"], _wemath("a", 2), _verdicts("+-", "--", "+-"))
    assert found["scores"]["strict/RM_rate"] == 1.0  # in the second sample no whole problem is solved
    assert summary(BENCHES["wemath"], _wemath("a", 2), _verdicts("-", "-", "-"))["scores"]["strict/RM_rate"] is None


def test_macro_counts_every_group_alike() -> None:
    def macro(bench: str, rows: list[Row]) -> tuple[float, float]:
        scores = summary(BENCHES[bench], rows, _verdicts("+", "+", "+", "-"))["scores"]
        return scores["micro"], scores["macro"]

    mmmu = [{"id": f"validation_{s}_{i}", "question_type": "open"} for i, s in enumerate(["Art"] * 3 + ["Math"])]
    tasks = [{"question_type": "free_form", "answer_type": "integer", "metadata": {"task": t}} for t in "aaab"]
    vista = [{"pid": str(i), **row} for i, row in enumerate(tasks)]
    vision = [{**row, "subject": s} for row, s in zip(_mathvision(4), "aaab", strict=True)]
    zero = [{"question_id": name} for name in ("1_1", "1_2", "1_3", "2_1")]
    for bench, rows in (("mmmu", mmmu), ("mathvista", vista), ("mathvision", vision), ("zerobench", zero)):
        assert macro(bench, rows) == (0.75, 0.5), bench


def test_rows_without_gold_are_counted_and_are_in_no_denominator() -> None:
    rows = [*_mathvision(2), {"id": "9", "level": 5, "subject": "topology", "options": []}]
    found = summary(BENCHES["mathvision"], rows, _verdicts("++", "--", "??"))
    assert (found["score"], found["n"], found["ungraded"]) == (0.5, 2, 1)
    assert found["scores"]["pass^2"] == 0.5
    assert "subject/topology" not in found["scores"]
    nothing = summary(BENCHES["wemath"], _wemath("a", 2), _verdicts("?", "?", "?"))
    assert (nothing["score"], nothing["stderr"], nothing["n"], nothing["scores"]) == (None, None, 0, {})
    assert (
        score_text(BENCHES["wemath"], "local", nothing)
        == "We-Math (local): cannot grade, the data holds no answers; 100 % parsed"
    )


@pytest.mark.parametrize("bench", BENCHES)
def test_a_hidden_answer_is_neither_right_nor_wrong(bench: str) -> None:
    row = {**load_text(bench, "mini")[0], BENCHES[bench].answer: None}
    [[verdict]] = grade_all(BENCHES[bench], [row], [["\\boxed{A}"]], "default")
    assert verdict.correct is None


def test_a_row_with_fewer_replies_is_a_mistake_of_ours() -> None:
    for bad in (["++", "+"], ["", ""]):
        with pytest.raises(ValueError, match="same number of replies"):
            summary(BENCHES["mathvision"], _mathvision(2), _verdicts(*bad))


def test_the_line_for_people() -> None:
    found = summary(BENCHES["mathvision"], _mathvision(2), _verdicts("++", "+-"))
    assert score_text(BENCHES["mathvision"], "official", found) == (
        "MathVision (2 of 3040): 75.0 ± 25.0 over 2 questions, mean of 2 samples, 100 % parsed"
    )
