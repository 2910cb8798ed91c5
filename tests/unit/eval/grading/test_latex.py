"""MATH-V's numbers and equality. Every value and verdict in the tables was read off the official code as it ran
(latex2sympy2 1.9.1 with antlr4 4.7.2, `round(eval(str(latex2sympy(text))), 2)`; the official `is_equal`)."""

import pytest

from eval.benches import mathvision
from eval.grading.latex import Unreadable, leading_value, value_of

# Text -> the rounded number as Python prints it; None where the official code raises.
VALUES = [
    ("12", "12"), ("-5", "-5"), ("+5", "5"), ("--5", "5"), (".5.", "0.5"), ("4.0", "4"), ("1,000", "1000"),
    ("1234,567", "1234567"), ("1,234.5", "1234.5"), ("1,2345", "6170"), ("1,00", None), ("5,7", None), ("5;6", None),
    ("5.7.3", "1.71"), ("1\\,000", "0"), ("1{,}000", None), ("５", None), ("−5", None), ("²", None), ("5²", None),
    # fractions, products and powers
    ("\\frac{24}{2}", "12.0"), ("\\frac{1}{2}3", "1.5"), ("3\\frac{1}{2}", "1.5"), ("\\frac12", None),
    ("\\frac{1}2", None), ("-\\frac{1}{2}", "-0.5"), ("1/2\\pi", "0.16"), ("1/2\\sqrt{3}", "0.29"), ("3/4/2", "0.38"),
    ("4:3", "1.33"), ("1:2:3", "0.17"), ("3\\div4", "0.75"), ("1\\over2", "0.5"), ("5\\times10^3", "5000"),
    ("5.0\\times10^{-2}", "0.05"), ("5×6", None), ("5\\times", None), ("5*-3", "-15"), ("2(3)(4)", "24"),
    ("2{3}", "6"), ("2[3]", "6"), ("2^3^2", "64"), ("2^{3}^2", "64"), ("2^10", "1024"), ("2^(3)", None),
    ("2^-1", None), ("2^{-1}", "0.5"), ("2^3!", "40320"), ("9^9^9", str((9**9) ** 9)), ("0^0", "1"), ("1/0", None),
    ("2\\sqrt{3}", "3.46"), ("\\sqrt3", None), ("\\sqrt[3]{27}", "3.0"), ("\\sqrt{-4}", None), ("(-8)^{1/3}", None),
    ("7!", "5040"), ("4.0!", "24"), ("5!/3!", "20.0"), ("\\frac{6}{2}!", None), ("\\binom{9}{4}", "126"),
    # what it knows by name
    ("8\\pi", "25.13"), ("\\pi^2", "9.87"), ("π", None), ("e", None), ("2e^2", "14.78"), ("1e5", None),
    ("\\sin2\\pi", "-0.0"), ("\\sin(2)\\pi", "2.86"), ("\\sin2+3", "3.91"), ("\\cos60", "-0.95"), ("\\log100", "2.0"),
    ("\\log_{2}8", "3.0"), ("\\log_28", None), ("\\ln7", None), ("|-3|", None), ("\\lfloor3.5\\rfloor", "3"),
    ("\\infty", None), ("x", None), ("12cm", None), ("5x+3", None), ("2\\pm3", None), ("60°", None),
    ("60^{\\circ}", None),
    ("50\\%", "0.5"), ("50%", None), ("$6.$", "6"), ("5'6", "30"), ("5\\;6", None), ("\\left(5\\right)", "5"),
    # where it stops, and what follows does not count
    ("5)", "5"), ("5}.garbage", "5"), ("30.since\\overline{cp}istangent", "30"), ("69.c", "69"), ("0.333...", "0.33"),
    ("0.\\overline{3}", "0"), ("101_2", "101"), ("18\\choose3", "18"), ("5\\to6", "5"), ("2triangles", "2"),
    ("5 rows", "5"), ("5 columns", None), ("5 squares", None), ("27normal{cm}", "27"), ("5&6", "5"), ("5?", None),
    ("5|6", None), ("5%", None), ("(5", None), ("(3,4)", None), ("[3,4]", None), ("5()", None), ("", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_the_leading_value_is_that_of_the_official_code(text: str, value: str | None) -> None:
    if value is None:
        with pytest.raises(Unreadable):
            leading_value(text)
    else:
        assert repr(round(leading_value(text), 2)) == value


@pytest.mark.parametrize(("text", "value"), [("30.", None), ("2 triangles", None), ("5)", None), ("2\\sqrt{4}", 4.0)])
def test_a_whole_value_has_nothing_after_it(text: str, value: float | None) -> None:
    if value is None:
        with pytest.raises(Unreadable):
            value_of(text)
    else:
        assert value_of(text) == value


@pytest.mark.parametrize(
    "text",
    ["9^{9^{9^9}}", "(" * 600, "-" * 600, "\\sin" * 600 + "1", "9" * 5000, "1+" * 600 + "1", "200!!",
     "__import__('os')", "{" * 30 + "2" + "^{9}}" * 30, "\\binom{9999}{5000}", "1" + "0" * 400 + ".5", "e^{9999}",
     "\\log0"],
)  # fmt: skip
def test_no_size_makes_it_slow_or_fail_otherwise(text: str) -> None:
    with pytest.raises(Unreadable):
        leading_value(text)


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("12", "12.004", True), ("12", "12.01", False), ("\\frac{1}{3}", "0.33", True), ("n", "n", True),
        ("C", "c", True), ("", "", False), (" ", "5", False), ("30", "30.since", True), ("1250\\pi", "1250\\pi.", True),
        ("(3,4)", "(3,4.0)", True), ("(3,4)", "[3,4]", False), ("(3,4)", "(3,\\frac{8}{2})", False),
        ("(-\\infty,3)", "(-\\infty,3.0)", True), ("(-\\infty,3)", "(-\\infty,3.001)", False),
        ("[a,2]", "[a,2.0]", True), ("(x,2)", "(x,2.0)", False),
        ("1000", "(1,000)", False), ("(1,000)", "(1,0)", True), (" (3,4)", "(3,4.0)", False), ("5", "(5)", True),
    ],
)  # fmt: skip
def test_equality_is_the_official_one(gold: str, answer: str, equal: bool) -> None:
    assert mathvision.equal(gold, answer) is equal


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("The answer is 5..", "5"),  # all full stops go from what is a number, one from what is none
        ("It is 5..", "5"),
        ("the answer is A. The answer is 5", "5"),
        ("The answer is 5. the answer is B", "b"),
        ("The final answer is 7. the correct answer is 8", "8"),
        ("The answer is 5.\r\nDone", "5"),
        ("\\boxed{A} or \\boxed{ x = 3 }", "3"),
        ("\\boxed{\\frac12\\sqrt3}", "\\frac{1}{2}\\sqrt{3}"),
        ("\\boxed{.5}", "\\frac{1}{2}"),
        ("\\boxed{.25}", "0.25"),
        ("\\boxed{0.5}", "\\frac{1}{2}"),
        ("\\boxed{3/4}", "\\frac{3}{4}"),
        ("\\boxed{-3/4}", "\\frac{-3}{4}"),
        ("\\boxed{12\\text{ cm}}", "12{cm}"),
        ("\\boxed{12^\\circ}", "12"),
        ("\\boxed{(C)", "\\boxed{c"),
        ("(C)\nbecause", "c"),
        ("so it must be (D).", "d"),
        ("x \\approx 3.14", "3.14"),
        ("", ""),
    ],
)
def test_the_extracted_answer_is_the_official_one(reply: str, answer: str) -> None:
    assert mathvision.extract(reply) == answer
