import subprocess
import sys
from math import isclose, sqrt
from typing import Any

import pytest

from eval.benches import BENCHES, chosen, mathvista, mmmu, split, wemath, zerobench
from eval.core.errors import UserError
from eval.grading.score import standard_error
from eval.settings import EvalSettings


def test_the_registry_has_the_papers_order_and_denominators() -> None:
    assert chosen(EvalSettings().benches) == tuple(BENCHES)
    assert [b.label for b in BENCHES.values()] == ["MMMU", "MathVista", "MathVision", "ZeroBench", "We-Math"]
    assert [b.official_n for b in BENCHES.values()] == [900, 1000, 3040, 334, 525]
    assert len(mmmu.SUBJECTS) == 30


def test_grading_and_settings_import_neither_torch_nor_pandas() -> None:
    code = "import sys, eval.grading, eval.settings, eval.leakage.mention; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "pandas", "lm_eval", "transformers"} & set(loaded)


def test_settings_refuse_unknown_keys_and_benches() -> None:
    for bad in ({"bench": "mmmu"}, {"benches": []}, {"benches": ["mmmu", "mmmu"]}, {"top_p": 0}):
        with pytest.raises(ValueError, match=r"."):
            EvalSettings.model_validate(bad)
    for names in (["mmmu", "mmu"], ["all", "mmu"]):
        with pytest.raises(UserError, match=r"^unknown bench '(mmu|all)': choose from mmmu, .*, wemath, or all$"):
            chosen(names)


# --- MMMU ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "letter"),
    [("(B)", "B"), ("B", "B"), ("B.", "B"), ("I think it is (C), not (A)", "A"), ("**B**", None), ("b", None),
     ("", None), ("the correct one is clearly green here", "B"), ("'B'", "B"), ("A B\n", "A"), ("B?!", "B"),
     ("B!?", None), ("(A) or B", "A"), ("A red and blue one it is", "A"), ("it is the red or the blue one", "C")],
)  # fmt: skip
def test_mmmu_letters(reply: str, letter: str | None) -> None:
    assert mmmu.parse_choice(reply, {"A": "red", "B": "green", "C": "blue"}) == letter


@pytest.mark.parametrize(
    ("gold", "reply", "correct"),
    [
        ("7.30", "The result is 7.3", True),
        ("7.30", "x = 7.304", True),  # two decimals
        ("7.30", "7.31", False),
        ("1000", "so we get 1,000 dollars", True),
        ("C", "vitamin c", True),  # the official rule's substring
        ("C", "vitamins", False),
        ("['Tampa', 'Florida']", "It is in Florida", True),
        ("Tampa", "Orlando", False),
    ],
)
def test_mmmu_open_answers(gold: str, reply: str, correct: bool) -> None:
    row = {"id": "validation_Math_1", "question_type": "open", "options": "[]", "answer": gold}
    assert BENCHES["mmmu"].grade(row, reply, "official").correct is correct


def test_mmmu_scores_by_subject_and_domain() -> None:
    rows = [{"id": f"validation_{s}_1", "question_type": "open"} for s in ("Math", "Physics", "Design", "Design")]
    total = BENCHES["mmmu"].aggregate([(row, i % 2 == 0) for i, row in enumerate(rows)])
    assert (total.score, total.n) == (0.5, 4)
    assert total.scores["domain/Science"] == 0.5
    assert total.scores["subject/Math"] == 1.0


# --- MathVista ----------------------------------------------------------------------------------------------------


def _table_distance(a: str, b: str) -> int:
    """The textbook table, as an oracle."""
    table = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            swap = table[i - 1, j - 1] + (a[i - 1] != b[j - 1])
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, swap)
    return table[len(a), len(b)]


@pytest.mark.parametrize(
    ("a", "b"),
    [("", "abc"), ("abc", ""), ("kitten", "sitting"), ("6/11", "C."), ("aaaa", "aab"), ("x" * 70, "xyx" * 30)],
)
def test_edit_distance(a: str, b: str) -> None:
    assert mathvista.edit_distance(a, b) == _table_distance(a, b)


def _free(answer_type: str, answer: str, precision: float | None = None) -> dict[str, object]:
    return {
        "pid": "1", "question_type": "free_form", "answer_type": answer_type, "answer": answer, "precision": precision
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reply", "correct"),
    [
        (_free("integer", "14"), "The answer is 14 cm", True),
        (_free("integer", "1400"), "\\boxed{1,400}", True),
        (_free("integer", "14"), "There are 15 and then 14 of them", True),
        (_free("integer", "14"), "none", False),
        (_free("float", "0.7", 1.0), "\\boxed{0.65}", True),  # rounded to the row's precision
        (_free("float", "2.0", 1.0), "\\boxed{2}", True),
        (_free("list", "[2007, 2008]"), "\\boxed{[2007,2008]}", True),
        (_free("list", "[2007, 2008]"), "2007 and 2008", True),
        (_free("integer", "14"), "\\boxed{14 \\text{ cm}^2}", True),  # an answer's number comes first,
        (_free("integer", "14"), "\\boxed{A = 2 \\cdot 7 = 14}", True),  # or after its last "="
        (_free("integer", "1982"), "So the answer is 1982 with an income of $931,441.", True),
        (_free("integer", "7"), "<answer>Without 3 red ones 7 are left.</answer>", True),  # a sentence
        (_free("integer", "-5"), "\\boxed{\u22125}", True),
    ],
)
def test_mathvista_default_rule(row: dict[str, object], reply: str, correct: bool) -> None:
    assert BENCHES["mathvista"].grade(row, reply, "default").correct is correct


@pytest.mark.parametrize(
    ("reply", "prediction"),
    [
        ("It is quarter past nine", "quarter past"),  # which holds another choice
        ("It is half past nine", None),
        ("(A) quarter\n(B) quarter past\n(C) o'clock", None),  # the question, repeated
        ("(A) is too early, (C) too late, so (B)", "quarter past"),
        ("<answer>(A) and (B)</answer>", None),
        ("\\boxed{(B) quarter past}", "quarter past"),
    ],
)
def test_mathvista_reads_one_choice_or_none(reply: str, prediction: str | None) -> None:
    row = {
        "pid": "1", "question_type": "multi_choice", "answer_type": "text", "answer": "quarter past",
        "choices": ["quarter", "quarter past", "o'clock"],
    }  # fmt: skip
    assert BENCHES["mathvista"].grade(row, reply, "default").extracted == prediction


# Read off the official normalisation with the Levenshtein package; an extraction need not be a text.
@pytest.mark.parametrize(
    ("extraction", "row", "prediction"),
    [
        (14.9, _free("integer", "14"), "14"),
        ("1e5", _free("integer", "14"), "100000"),
        ("\uff11\uff12", _free("integer", "14"), "12"),  # full-width digits
        ("1_000", _free("integer", "14"), "1000"),
        (" 14\n", _free("integer", "14"), "14"),
        (True, _free("integer", "14"), "1"),
        ("inf", _free("integer", "14"), None),
        (None, _free("integer", "14"), None),
        ("1,000", _free("integer", "14"), None),
        ("nan", _free("float", "0.7", 1.0), "nan"),
        ("-0.04", _free("float", "0.7", 1.0), "-0.0"),
        ("2.675", _free("float", "0.7", 2.0), "2.67"),
        ("0.7", _free("float", "0.7", None), None),
        ([1, 2], _free("list", "[1, 2]"), "[1, 2]"),
        ("[1,2]", _free("list", "[1, 2]"), "[1,2]"),
    ],
)
def test_mathvista_normalises_as_the_official_code(
    extraction: Any, row: dict[str, Any], prediction: str | None
) -> None:
    assert BENCHES["mathvista"].grade(row, extraction, "official").extracted == prediction


@pytest.mark.parametrize(
    ("extraction", "prediction"),
    [("", "no"), (None, "no"), ("b", "no"), (" B ", "none of them"), ("(b)(A)", "none of them"),
     ("(Z)", "no"), ("N", "no"), ("yess", "yes"), ("non", "no"), (3, "no"), ("\u00c5", "no")],
)  # fmt: skip
def test_mathvista_picks_the_first_of_the_nearest_choices(extraction: Any, prediction: str) -> None:
    row = {"question_type": "multi_choice", "choices": ["no", "none of them", "yes", "no"], "answer": "no"}
    assert BENCHES["mathvista"].grade(row, extraction, "official").extracted == prediction


def test_the_default_rule_never_guesses_an_option_by_edit_distance() -> None:
    row = {"pid": "1", "question_type": "multi_choice", "answer_type": "text", "choices": ["yes", "no"], "answer": "no"}
    assert BENCHES["mathvista"].grade(row, "nine", "official").correct is True
    assert BENCHES["mathvista"].grade(row, "nine", "default")[2:] == (False, False)


# --- MATH-V -------------------------------------------------------------------------------------------------------


def test_mathvision_takes_the_letter_or_the_text_of_the_right_option() -> None:
    row = {"id": "1", "options": ["3", "4", "5"], "answer": "C", "level": 1, "subject": "algebra"}
    for reply in ("\\boxed{C}", "\\boxed{5}", "\\boxed{C. 5}"):
        assert BENCHES["mathvision"].grade(row, reply, "default").correct is True
    assert BENCHES["mathvision"].grade(row, "\\boxed{4}", "default").correct is False


# --- ZeroBench ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "parsed"),
    [("{5}", "5"), ("{a}{B}", "b"), ("{5\n}", ""), ("{{5}}", "{5"), ("{ 5 }", " 5 "), ("5", ""), ("{\n{7}", "7"),
     ("{5\u2028}", "5\u2028"), ("{\x00}", "\x00"), ("{a{b}", "a{b"), ("{}", ""), ("{5}{}", ""), ("{5}{", "5"),
     ("{\u0130}", "i\u0307"), ("\\boxed{\\text{C}}", "\\text{c")],
)  # fmt: skip
def test_zerobench_braces(reply: str, parsed: str) -> None:
    assert zerobench.parse(reply) == parsed


@pytest.mark.parametrize(
    ("gold", "reply", "correct"),
    [
        (" 5 ", "{5}", True),
        ("5", "{ 5 }", False),
        ("Blue", "{BLUE}", True),
        ("\u0130", "{\u0130}", False),
        ("", "{}", True),
    ],
)
def test_zerobench_compares_lower_case_and_length(gold: str, reply: str, correct: bool) -> None:
    assert BENCHES["zerobench"].grade({"question_answer": gold}, reply, "official").correct is correct


def test_zerobench_micro_and_macro_differ() -> None:
    rows = [{"question_id": i} for i in ("1_1", "1_2", "1_3", "2_1")]
    total = BENCHES["zerobench"].aggregate([(row, i < 3) for i, row in enumerate(rows)])
    assert (total.score, total.scores["macro"], total.n) == (0.75, 0.5, 4)


def test_a_row_without_answer_cannot_be_graded() -> None:
    verdict = BENCHES["zerobench"].grade({"question_id": "1_1", "question_answer": None}, "{5}", "default")
    assert verdict.correct is None
    assert BENCHES["zerobench"].aggregate([({"question_id": "1_1"}, None)]).score is None


# --- We-Math ------------------------------------------------------------------------------------------------------


def _problem(name: str, *correct: bool) -> list[tuple[dict[str, str], bool | None]]:
    steps = len(correct) - 1
    keys = [f"{steps}steps_{i + 1}" for i in range(steps)] + [f"{steps}steps_multi"]
    return [({"ID": name, "key": key}, right) for key, right in zip(keys, correct, strict=True)]


# Read off the official code: the first letter after the last `Answer`, case-sensitive, `><:.` deleted.
@pytest.mark.parametrize(
    ("reply", "letter"),
    [("<Answer>: <<C>>", "C"), ("Answer: B Answer: C", "C"), ("Answer", None), ("the answer is C", None),
     ("Cannot be determined", "C"), ("Answer is C", None), ("ANSWER: C", "A"), ("Answer:\u2028C", "C"),
     ("Answer:\x00C", None), ("Answer:\u3000C", "C"), ("Answer: .<: C", "C"), ("(C)", None), ("Answer\uff1aC", None),
     ("H", "H"), ("I", None), ("", None), ("Answer: \uff21", None), ("Answers: C", None)],
)  # fmt: skip
def test_wemath_letters(reply: str, letter: str | None) -> None:
    assert wemath.parse(reply) == letter


def test_wemath_classes_strict_and_loose() -> None:
    graded = [
        *_problem("a", True, True, True),  # CM
        *_problem("b", True, True, False),  # IG
        *_problem("c", True, False, True),  # strict RM, loose CM
        *_problem("d", False, False, True),  # RM
        *_problem("e", True, False, True, False),  # IK
    ]
    assert wemath.classes(graded, loose=False) == {"a": "CM", "b": "IG", "c": "RM", "d": "RM", "e": "IK"}
    assert wemath.classes(graded, loose=True) == {"a": "CM", "b": "IG", "c": "CM", "d": "RM", "e": "IK"}
    total = BENCHES["wemath"].aggregate(graded)
    assert (total.score, total.n, total.scores["loose"]) == (1.5 / 5, 5, 2.5 / 5)
    assert (total.scores["strict/RM_rate"], total.scores["S2"], total.scores["S3"]) == (2 / 3, 3 / 4, 0.0)


def test_a_partial_problem_has_no_class() -> None:
    with pytest.raises(UserError, match="2steps_multi"):
        BENCHES["wemath"].aggregate(_problem("a", True, True, True)[:2])


def test_no_rote_memorisation_rate_without_a_solved_problem() -> None:
    assert wemath.four_dimensions({"CM": 0, "IG": 1, "RM": 0, "IK": 1})["RM_rate"] is None


# --- standard errors ----------------------------------------------------------------------------------------------


def test_standard_error_is_the_usual_one_for_single_rows_and_larger_for_copies() -> None:
    values = [1.0, 0.0, 0.0, 1.0, 1.0]
    usual = sqrt(sum((v - 0.6) ** 2 for v in values) / 4 / 5)
    assert isclose(standard_error(values, list("abcde")) or 0, usual)
    doubled = standard_error(values * 2, list("abcde") * 2)
    assert isclose(doubled or 0, usual)  # copies of a row carry no information
    assert standard_error([1.0], ["a"]) is None


def test_names_that_are_not_ours_may_be_those_of_lm_eval() -> None:
    assert split(["wemath", " gsm8k", "mmmu"]) == (("wemath", "mmmu"), ("gsm8k",))
    assert split(["all", "gsm8k"]) == (tuple(BENCHES), ("gsm8k",))
    assert split(["gsm8k"]) == ((), ("gsm8k",))
