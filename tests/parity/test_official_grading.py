"""Our official rules against the official scorers' verdicts on real replies, row by row."""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from eval.grading import BENCHES, mathvision, mathvista, mmmu, wemath, zerobench

DATA = Path(__file__).parents[2] / ".." / "shared" / "bench-data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/bench-data")

Row = dict[str, Any]


@cache
def lines(name: str) -> list[Row]:
    opener = gzip.open if name.endswith(".gz") else open
    with opener(DATA / name, "rt") as stream:
        return [json.loads(line) for line in stream]


def edges(bench: str) -> list[Row]:
    rows: list[Row] = json.loads((DATA / "edge_vectors" / f"{bench}_official.json").read_text())
    return rows


def replies(bench: str) -> list[str]:
    """The recorded files of a bench; named at collection, so that each is a test of its own."""
    return sorted(f.name for f in (DATA / bench / "dev").glob("*.jsonl.gz"))


def mmmu_rows() -> dict[str, Row]:
    rows = {}
    for row in lines("mmmu/annotations_val900.jsonl.gz"):
        kind = "multiple-choice" if row["question_type"] == "multiple-choice" else "open"
        rows[row["id"]] = {**row, "question_type": kind, "options": list((row.get("index2ans") or {}).values())}
    return rows


@pytest.mark.parametrize("file", replies("mmmu"))
def test_mmmu_equals_the_official_verdict_where_that_is_not_random(file: str) -> None:
    rows = mmmu_rows()
    for reply in lines(f"mmmu/dev/{file}"):
        verdict = mmmu.grade(rows[reply["id"]], reply["response"], "official")
        if reply["official_random_fallback"]:
            assert verdict.extracted is None
        else:
            assert verdict.correct == reply["official_correct"], reply["id"]
            if reply["question_type"] == "multiple-choice":
                assert verdict.extracted == reply["official_parsed"], reply["id"]


def test_mmmu_edge_vectors() -> None:
    for row in edges("mmmu"):
        if row["kind"] == "mc":
            letter = mmmu.parse_choice(row["response"], {c: row["index2ans"][c] for c in row["all_choices"]})
            assert letter == (None if row["random_fallback"] else row["official_parsed"]), row
        else:
            values = mmmu.parse_open(row["response"])
            assert sorted(map(repr, values)) == sorted(map(str, row["official_parsed"])), row
            assert mmmu.open_correct(row["gold"], values) == row["official_correct"], row


@pytest.mark.parametrize("file", replies("mathvista"))
def test_mathvista_normalises_every_extraction_as_todays_scorer(file: str) -> None:
    rows = {row["pid"]: row for row in lines("mathvista/annotations_testmini1000.jsonl.gz")}
    for reply in lines(f"mathvista/dev/{file}"):
        verdict = mathvista.grade(rows[reply["pid"]], reply["extraction"], "official")
        assert (verdict.extracted, verdict.correct) == (reply["head_prediction"], reply["head_true_false"]), reply[
            "pid"
        ]


def test_mathvista_edge_vectors() -> None:
    for row in edges("mathvista"):
        if not row["ignore_empty"]:  # a switch that the official script leaves off
            verdict = mathvista.grade(row, row["extraction"], "official")
            assert (verdict.extracted, verdict.correct) == (row["official_prediction"], row["official_true_false"]), row


@pytest.mark.parametrize("file", replies("mathvision"))
def test_mathvision_equals_the_official_verdict_and_answer(file: str) -> None:
    rows = {row["id"]: row for row in lines("mathvision/annotations_test3040.jsonl.gz")}
    differ = []
    for reply in lines(f"mathvision/dev/{file}"):
        verdict = mathvision.grade(rows[reply["id"]], reply["response"], "official")
        if (verdict.extracted or "", verdict.correct) != (reply["rerun_model_answer"], reply["rerun_correct"]):
            differ.append(reply["id"])
    assert differ == []


def test_mathvision_edge_vectors() -> None:
    for row in edges("mathvision"):
        verdict = mathvision.grade({"answer": row["gold"], "options": row["options"]}, row["response"], "official")
        assert (verdict.extracted or "", verdict.correct) == (row["official_model_answer"], row["official_correct"]), (
            row
        )


def test_zerobench_equals_the_official_snippet() -> None:
    spoken = {row["id"]: row["response"] for row in lines("mathvision/dev/Gemini_Pro_CoT.jsonl.gz")}
    for row in lines("zerobench/dev/curly_snippet_on_mathv_Gemini_Pro_CoT.jsonl.gz"):
        verdict = zerobench.grade({"question_answer": row["ground_truth"]}, spoken[row["mathv_id"]], "official")
        assert (verdict.extracted or "", verdict.correct) == (row["official_parsed"], row["official_correct"]), row
    for row in edges("zerobench"):
        verdict = zerobench.grade({"question_answer": row["gold"]}, row["response"], "official")
        assert (verdict.extracted or "", verdict.correct) == (row["official_parsed"], row["official_correct"]), row


def test_zerobench_pass_rates_equal_the_leaderboard() -> None:
    for row in lines("zerobench/dev/official_correct_of_5.jsonl.gz"):
        found = zerobench.pass_counts(row["correct_of_5"], 5)
        percent = {name: round(100 * value, 6) for name, value in found.items()}
        assert percent == {"pass@1": row["pass1"], "pass@5": row["pass5"], "pass^5": row["passhat5"]}, row["model"]


def test_wemath_equals_the_official_rows_and_classes() -> None:
    rows = lines("wemath/dev/ursa_8b_half_a.jsonl.gz")
    graded = []
    for row in rows:
        verdict = wemath.grade(row, row["response"], "official")
        assert (verdict.extracted, verdict.correct) == (row["official_processed_answer"], row["official_joker"])
        graded.append((row, verdict.correct))
    strict, loose = wemath.classes(graded, loose=False), wemath.classes(graded, loose=True)
    assert all((strict[row["ID"]], loose[row["ID"]]) == (row["strict"], row["loose"]) for row in rows)
    # The official script divides by 525 whatever is there, and gives these 262 problems 65.81 %.
    assert f"{wemath.aggregate(graded).scores['strict']:.2%}" == "31.49%"
    for row in edges("wemath"):
        assert wemath.parse(row["response"]) == row["official_processed_answer"], row
    for row in lines("wemath/dev/answer_tails_internvl2_qwen2vl.jsonl"):
        assert wemath.parse(row["response_tail"]) == row["official_processed_answer"], row


@pytest.mark.parametrize("level", ["strict", "loose"])
def test_wemath_scores_and_rates_equal_the_official_scripts(level: str) -> None:
    for run in lines("wemath/dev/official_script_aggregates.jsonl"):
        recorded = run[level]
        found = wemath.four_dimensions({c: recorded[c] for c in wemath.CLASSES})
        for name in ("score", "IK_rate", "IG_rate", "CM_rate", "RM_rate"):
            assert f"{found[name]:.2%}" == recorded[name], (run["model"], name)


def test_the_default_rule_agrees_with_official_verdicts_on_plain_replies() -> None:
    """Where replies follow the prompt's own format, cutting first must not change what is read."""
    rows = {row["id"]: row for row in lines("mathvision/annotations_test3040.jsonl.gz")}
    pairs = [
        (BENCHES["mathvision"].grade(rows[r["id"]], r["response"], "default").correct, r["rerun_correct"])
        for r in lines("mathvision/dev/Gemini_Pro_CoT.jsonl.gz")
    ]
    pairs += [
        (wemath.grade(r, r["response"], "default").correct, r["official_joker"])
        for r in lines("wemath/dev/ursa_8b_half_a.jsonl.gz")
    ]
    assert sum(a == b for a, b in pairs) / len(pairs) > 0.99
