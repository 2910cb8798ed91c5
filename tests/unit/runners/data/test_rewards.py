"""The verifier of training: typed answers in the wrappers that models use, and the form that the prompt asks for."""

import json
import threading
import time
from typing import Any

import pytest

from eval.grading.equal import same_answer
from runners.data.rewards import accuracy, formatted, is_right
from tests.support.paths import SHARED

VECTORS = SHARED / "bench-data" / "edge_vectors" / "math_verify_0.9.0.json"


@pytest.mark.parametrize(
    ("gold", "found", "same"),
    [
        # options
        ("C", "C", True),
        ("C", "(C)", True),
        ("C", "c.", True),
        ("C", "C. 5 cm", True),
        ("C", "option C", True),
        ("C", "\\text{C}", True),
        ("(C)", "C", True),
        ("C. 5 cm", "C", True),
        ("C. 5 cm", "5 cm", True),
        ("C. 5 cm", "D", False),
        ("C. 5 cm", "6 cm", False),
        ("C", "cube", False),
        ("C", "D", False),
        ("C", "5 cm", False),
        ("B", "AB", False),
        ("A", "A or B", False),
        ("A, C", "C and A", True),
        ("A, C", "AC", True),
        ("A, C", "A", False),
        ("A, C", "A, B, C", False),
        ("ACB", "ABC", False),  # an angle, not options
        # numbers
        ("12", "12.0", True),
        ("1,234", "1234", True),
        ("1234", "1{,}234", True),
        ("12345", "12\\,345", True),
        ("10000", "10 000", True),
        ("0.5", ".5", True),
        ("12", "13", False),
        ("12", "", False),
        ("", "12", False),
        ("-5", "5", False),
        ("-5", "−5", True),
        ("1e-7", "0", False),
        ("1e-7", "0.0000001", True),
        ("1e-7", "10^{-7}", True),
        ("1000", "$10^3$", True),
        ("5", "1,5", False),
        ("12", "1 2", False),
        ("6", "2 3", False),
        # tolerance: an exact gold asks for six digits; a decimal gold of three is taken as rounded
        ("\\frac{1}{3}", "0.3333333", True),
        ("\\frac{1}{3}", "0.3333", False),
        ("2\\sqrt{3}", "3.46", False),
        ("3.46", "2\\sqrt{3}", True),
        ("3.46", "2\\sqrt{3} \\approx 3.46", True),
        ("3.47", "2\\sqrt{3}", False),
        ("3.429", "24/7", True),
        ("24/7", "3.429", False),
        ("0.0833", "\\frac{1}{12}", True),
        ("1.25", "1.254", False),
        ("0.5", "0.52", False),
        ("0.3", "1/3", False),
        # fractions, ratios, percent, units, degrees
        ("\\frac{1}{2}", "0.5", True),
        ("\\frac{1}{2}", "\\dfrac12", True),
        ("1/2", "\\frac{2}{4}", True),
        ("3\\frac{1}{2}", "3.5", True),
        ("3 1/2", "\\frac{7}{2}", True),
        ("-3\\frac{1}{2}", "-2.5", False),
        ("3:4", "3/4", True),
        ("3:4", "6:8", True),
        ("3:4", "4:3", False),
        ("1:2:3", "2:4:6", True),
        ("1:2:3", "1:3:2", False),
        ("1:2:3", "1/6", False),
        ("50%", "0.5", True),
        ("50\\%", "50", True),
        ("0.5", "50%", True),
        ("50%", "5", False),
        ("50%", "0.5%", False),
        ("12", "12 cm", True),
        ("12 cm", "12", True),
        ("12", "12\\text{ cm}^2", True),
        ("7", "7 points", True),
        ("$5", "5 dollars", True),
        ("8\\pi", "8\\pi \\text{ cm}^{2}", True),
        ("5", "5x", False),
        ("2", "2ab", False),
        ("90^\\circ", "90", True),
        ("90°", "90 degrees", True),
        ("0.5", "\\sin 30^\\circ", True),
        # LaTeX without dollars
        ("2\\sqrt{3}", "\\sqrt{12}", True),
        ("2\\sqrt{3}", "2", False),
        ("\\sqrt{3}", "sqrt(3)", True),
        ("8\\pi", "8", False),
        ("8\\pi", "8π", True),
        ("pi/2", "$\\frac{\\pi}{2}$", True),
        # tuples, intervals, sets, lists
        ("(3,4)", "(3, 4)", True),
        ("(3,4)", "(4, 3)", False),
        ("(3,4)", "\\left(3,\\ 4\\right)", True),
        ("(3,4)", "[3,4]", False),
        ("(3,4)", "\\{3,4\\}", False),
        ("(3,4)", "3, 4", True),
        ("(3,4)", "4, 3", False),
        ("(3,4)", "3.4", False),
        ("(\\frac{1}{2}, 2)", "(0.5, 2)", True),
        ("[1,2)", "1\\le x<2", True),
        ("1\\le x<2", "[1,2)", True),
        ("[1,2)", "(1,2)", False),
        ("3,4", "4,3", True),
        ("3,4", "3,5", False),
        ("3,3", "3,4", False),
        ("3,4", "3", False),
        ("\\{1,2,3\\}", "\\{3,2,1\\}", True),
        ("x=1 or x=2", "2, 1", True),
        ("5,-5", "\\pm 5", True),
        ("\\pm 5", "5", False),
        ("1+\\sqrt{2}, 1-\\sqrt{2}", "1 \\pm \\sqrt2", True),
        # equations and expressions
        ("x=5", "5", True),
        ("5", "x = 5", True),
        ("x=5", "5=x", True),
        ("x=5", "y=5", False),
        ("7", "3+4=7", True),
        ("2x+3y=5", "5", False),
        ("y=2x+3", "3+2x", True),
        ("y=2x+3", "y=2x-3", False),
        ("x>5", "5<x", True),
        ("x>5", "x\\geq 5", False),
        ("x^2+2x+1", "(x+1)^2", True),
        ("x^2+2x+1", "(x+2)^2", False),
        ("2ab", "2ba", True),
        ("\\frac{a}{b}", "a/b", True),
        ("10", "\\binom{5}{2}", True),
        ("(-\\infty, 3]", "(-∞,3]", True),
        # words
        ("yes", "Yes", True),
        ("yes", "no", False),
        ("dark blue", "\\text{Dark  blue}.", True),
        ("dark blue", "blue", False),
        ("red, blue", "blue and red", True),
        ("None", "none", True),
        ("right-angled", "right angled", True),
        # kinds that were misread once
        ("19, 46, 82", "19, 46, and 82", True),
        ("4", "4 Ω", True),
        ("0.00012", "1.2 × 10^-4", True),
        ("[0,1)", "[0,1[", True),
        ("60^\\circ", "60'", False),
        ("a+b", "A+B", False),
        ("x", "X", False),
        ("1/2004!", "1/2006!", False),
        ("1/2004!", "1/2004!", True),
        ("5 cm", "5 m", False),
        ("\\frac{2}{3}", "2\\frac13", False),
        # what wraps a gold
        ("\\boxed{12}", "12", True),
        ("<answer>12</answer>", "12", True),
    ],
)
def test_same_answer(gold: str, found: str, same: bool) -> None:
    assert same_answer(gold, found) is same


# Where ours differs from math-verify as it comes, gold first, and why. All else in the vectors is as measured there.
BETTER = {
    **{("C", found): True for found in ("C", "\\boxed{C}", "The answer is C.", "<answer>C</answer>", "(C)", "C. 5 cm")},
    **{(word, word.lower()): True for word in ("yes", "Yes", "blue", "A")},
    ("12", "<answer>12</answer>"): True,  # tags
    ("$50\\%$", "$0.5$"): True,  # as without dollars
    ("(3,4)", "(3, 4)"): True,
    ("$(3,4)$", "$\\{3,4\\}$"): False,  # a point is no set
    ("3,4", "4,3"): True,  # a list, not 3.4
    ("2\\sqrt{3}", "$2\\sqrt{3}$"): True,
    ("8\\pi", "$8\\pi$"): True,
    ("$8\\pi$", "8*pi"): True,
    ("pi/2", "$\\frac{\\pi}{2}$"): True,
    ("3:4", "3/4"): True,
    ("0.0833", "$\\frac{1}{12}$"): True,  # the gold is rounded
    ("0.3333", "$\\frac13$"): True,
    ("3.429", "24/7"): True,
    ("14", "\\boxed{13} so \\boxed{14}"): True,  # the last box
    ("14", "first 13 then 14"): False,  # a sentence is no final answer
    ("[1,2)", "$[1,2)$"): True,
    ("$[1,2)$", "$1\\le x<2$"): True,  # equal, whichever is the gold
    ("None", "None"): True,
}


def test_against_the_measured_behaviour_of_math_verify() -> None:
    if not VECTORS.exists():
        pytest.skip("needs ../shared/bench-data/edge_vectors/math_verify_0.9.0.json")
    vectors: list[dict[str, Any]] = json.loads(VECTORS.read_text())
    wrong = [
        (gold, found)
        for gold, found, measured in ((v["gold"], v["pred"], v["default"]) for v in vectors)
        if is_right(found, gold) is not BETTER.get((gold, found), measured)
    ]
    assert wrong == []
    assert len(vectors) > 60


@pytest.mark.parametrize(
    "reply",
    [
        "I see 3. \\boxed{7}",
        "<think>it is 9</think><answer>7</answer>",
        "So the answer is 7.",
        "**7**",
        "\\boxed{13} no, \\boxed{7}",
        "<think>\\boxed{9}</think> <answer>\\boxed{7}</answer>",
        "\\boxed{3+4=7}",
    ],
)
def test_the_final_answer_is_cut_out_of_the_reply(reply: str) -> None:
    assert is_right(reply, "7")
    assert not is_right(reply, "9")


def test_a_reply_without_an_answer_is_wrong_and_a_long_one_is_quick() -> None:
    assert not is_right("", "7")
    assert not is_right("I see red circles=2, blue squares=1, black triangles=4, 2+1=3, 3+4=7", "7"), "cut at its limit"
    for reply in (
        "\\boxed{" * 20_000,
        "\\boxed{" + "x+" * 20_000 + "1}",
        "is 7. " * 20_000,
        "\\boxed{7}" + " " * 50_000,
    ):
        start = time.perf_counter()
        assert is_right(reply, "7") is reply.startswith("\\boxed{7}")
        formatted([[{"role": "assistant", "content": reply}]])
        assert time.perf_counter() - start < 2


HOSTILE = (
    "9^{9^{9^{9}}}",
    "x^{9^{9^9}}",
    "(x+1)^{100000}",
    "\\int_0^{100} e^{x^2}\\sin(x^x) dx",
    "100000000!x",
    "(" * 400,
    ",".join(["(x+1)^{5000}"] * 30),
    "\\{" + ",".join(["x^{9^9}"] * 15) + "\\}",
)


@pytest.mark.parametrize("found", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_does_not_hang_and_spoils_nothing_after_it(found: str) -> None:
    assert same_answer("x^2+2x+1", "(x+1)^2"), "the process behind it is there"
    start = time.perf_counter()
    assert not same_answer("x^2+1,y,z", found)
    assert not same_answer("x^2+1", found)
    assert time.perf_counter() - start < 8  # twice: a second, as much to be killed, a new process; this machine is busy
    assert same_answer("x^2+2x+1", "(x+1)^2")


def test_worker_threads_get_the_same_verdicts() -> None:
    verdicts: dict[int, bool] = {}

    def judge(i: int) -> None:
        verdicts[i] = same_answer("x^2+2x+1", f"(x+{1 + i % 2})^2")

    threads = [threading.Thread(target=judge, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert verdicts == {i: i % 2 == 0 for i in range(8)}


@pytest.mark.parametrize(
    ("reply", "form"),
    [
        ("I see 3. So \\boxed{7}", 1.0),
        ("\\boxed{7}", 1.0),
        ("so \\boxed{\\frac{1}{2}} points.", 1.0),
        ("$$\n\\boxed{7}\n$$\n", 1.0),
        ("\\[ \\boxed{7} \\]", 1.0),
        ("**\\boxed{7}**", 1.0),
        ("\\boxed{\\{1, 2\\}}", 1.0),
        ("\\boxed{boxed}", 1.0),
        ("<think>\\boxed{3}?</think>So \\boxed{7}", 1.0),
        ("", 0.0),
        ("So 7.", 0.0),
        ("so \\boxed{7", 0.0),
        ("so \\boxed{\\frac{1}{2}", 0.0),
        ("\\boxed{}", 0.0),
        ("\\boxed{ }", 0.0),
        ("\\boxed{6} no, \\boxed{7}", 0.0),
        ("\\boxed{7} or \\boxed{8", 0.0),
        ("\\boxed{7}\n\nLet me check that again.", 0.0),
        ("<think>\\boxed{7}", 0.0),
        ("<think>It is</think> \\boxed{7} <think>or", 0.0),
        ("<answer>7</answer>", 0.0),
    ],
)
def test_form(reply: str, form: float) -> None:
    assert formatted([[{"role": "assistant", "content": reply}]], answer=["7"], prompts=[]) == [form]


def test_reward_function_takes_trl_columns() -> None:
    completions = [[{"role": "assistant", "content": "\\boxed{7}"}], [{"role": "assistant", "content": "\\boxed{8}"}]]
    assert accuracy(completions, answer=["7", "7"], prompts=[], trainer_state=None) == [1.0, 0.0]
