"""The default rule as a careful reader: a right answer counts however it is written, and a near miss never does.

Replies are composed: a figure, its unit, a wrapper, a sentence. What they ought to say is known from the parts.
"""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval.benches import BENCHES

Row = dict[str, Any]
DETERMINISTIC = settings(
    derandomize=True, deadline=None, max_examples=60, database=None, suppress_health_check=list(HealthCheck)
)


def _numeric_rows(gold: str) -> list[tuple[str, Row]]:
    """The row of each bench that asks for a number."""
    kind, places = ("float", len(gold.partition(".")[2])) if "." in gold else ("integer", None)
    free = {"pid": "1", "question_type": "free_form", "answer_type": kind, "precision": places, "answer": gold}
    return [
        ("mmmu", {"id": "validation_Math_1", "question_type": "open", "options": "[]", "answer": gold}),
        ("mathvista", free),
        ("mathvision", {"id": "1", "options": [], "answer": gold}),
        ("zerobench", {"question_id": "1_1", "question_answer": gold}),
    ]


def _option_rows(texts: list[str], letter: str) -> list[tuple[str, Row]]:
    """The row of each bench that gives options."""
    joined = "; ".join(f"{c}. {text}" for c, text in zip("ABCDEFGH", texts, strict=False))
    choices = {"pid": "1", "question_type": "multi_choice", "answer_type": "text", "precision": None, "choices": texts}
    return [
        ("mmmu", {"question_type": "multiple-choice", "options": str(texts), "answer": letter}),
        ("mathvista", choices | {"answer": texts["ABCDEFGH".index(letter)]}),
        ("mathvision", {"options": texts, "answer": letter}),
        ("wemath", {"option": joined, "answer": letter}),
    ]


def _check(rows: list[tuple[str, Row]], reply: str, right: bool) -> None:
    for bench, row in rows:
        verdict = BENCHES[bench].grade(row, reply, "default")
        assert verdict.correct is right, (bench, row.get("answer"), reply, verdict)


# --- numbers ------------------------------------------------------------------------------------------------------

UNITS = [
    "", "cm", "km/h", "m^2", "cm^3", "years", "apples", "dollars", "degrees", "square units", "kg", "points", "个",
    "岁", "平方厘米", "Meter", "Jahre", "ans", "mètres", "°", "%", "Ω", "m/s^2",
]  # fmt: skip
WRAPPERS = [
    "@", "\\boxed{@}", "$\\boxed{@}$", "<answer>@</answer>", "**@**", "The answer is @.", "Answer: @",
    "Final Answer: **@**", "### Answer\n@", "so {@}.", "{\"answer\": \"@\"}", "答案：@", "答案是@。", "【答案】@",
    "所以答案为 @。", "Réponse : @", "La réponse est @.", "Antwort: @", "Die Antwort lautet @.",
    "<think>9 or 8?</think>\n\n@", "@<|im_end|>", "I get \\boxed{9}. No.\n\nFinal answer: @", "（@）",
    "<Answer>: <<@>>", "The final answer is: @</s>", "Therefore, the answer should be @.",
]  # fmt: skip
SENTENCES = [
    "The total is @.", "There are @ in the 3 rows.", "So it is @ in all.", "We get @, not 913.",
    "It is not 913 but @.", "In row 3, the value equals @.", "x = @", "913 - 5 gives less, so the result is @.",
    "Es sind @ auf 2 Bildern.", "Il y a @ sur les 2 images.", "一共有@，分成2排。",
    "The bar of 1975 is @ (see row 2).", "Step 1: count 5.\nStep 2: The total is @.", "About @.",
    "If there are 3 of them, the sum is @.", "\\text{The area is }@", "Therefore @ remain.",
]  # fmt: skip


def _written(value: int, form: int) -> str:
    """One of the ways to write a whole number."""
    grouped = f"{value:,}"
    wide = str(value).translate({ord(str(d)): 0xFF10 + d for d in range(10)})
    spaced = grouped.replace(",", "\\,")
    forms = (
        str(value),
        grouped,
        grouped.replace(",", "{,}"),
        spaced,
        f"{value}.0",
        f"+{value}",
        wide,
        f"{value / 1000}\\times 10^3",
    )
    return forms[form % len(forms)]


@DETERMINISTIC
@given(st.integers(11, 99_999), st.integers(0, 7), st.sampled_from(UNITS), st.sampled_from(WRAPPERS), st.booleans())
def test_a_number_with_a_unit_in_a_wrapper(value: int, form: int, unit: str, wrapper: str, latex: bool) -> None:
    figure = _written(value, form)
    unit = unit.replace("°", "^\\circ").replace("%", "\\%") if latex else unit
    unit = f"\\text{{ {unit}}}" if latex and unit.isalpha() else f" {unit}" if unit else ""
    _check(_numeric_rows(str(value)), wrapper.replace("@", figure + unit), True)
    for other in (
        f"-{value}",
        f"minus {value}",
        str(value + 7),
        f"{value}5",
        f"1{value}",
        f"{value} or {value + 1}",
        f"1/{value}",
    ):
        _check(_numeric_rows(str(value)), wrapper.replace("@", other + unit), False)


@DETERMINISTIC
@given(st.integers(11, 9_999), st.sampled_from(UNITS[:20]), st.sampled_from(SENTENCES))
def test_a_number_in_a_sentence_is_the_one_the_sentence_is_about(value: int, unit: str, sentence: str) -> None:
    if value in (913, 1975):
        return
    reply = sentence.replace("@", f"{value} {unit}".strip())
    _check(_numeric_rows(str(value)), reply, True)
    for wrong in (value + 7, 2, 3, 5, 913, 1975):
        _check(_numeric_rows(str(wrong)), reply, False)


FRACTIONS = [
    "\\frac{@t}{@b}", "\\dfrac{@t}{@b}", "@t/@b", "\\frac{@t}{@b} \\approx 0.1", "x = \\tfrac{@t}{@b}",
    "$\\frac{@t}{@b}$ m",
]  # fmt: skip


@DETERMINISTIC
@given(
    st.integers(1, 9), st.integers(2, 9), st.integers(1, 5), st.sampled_from(FRACTIONS), st.sampled_from(WRAPPERS[:9])
)
def test_fractions_and_mixed_numbers(top: int, bottom: int, whole: int, form: str, wrapper: str) -> None:
    value = Fraction(top, bottom)
    if value.denominator == 1 or wrapper == "so {@}.":
        return
    row = [("mathvision", {"options": [], "answer": f"\\frac{{{value.numerator}}}{{{value.denominator}}}"})]
    said = form.replace("@t", str(top)).replace("@b", str(bottom))
    _check(row, wrapper.replace("@", said), True)
    _check(row, wrapper.replace("@", form.replace("@t", str(top + bottom)).replace("@b", str(bottom))), False)
    _check(row, wrapper.replace("@", form.replace("@t", str(top)).replace("@b", f"{bottom}0")), False)
    if top < bottom and value.denominator == bottom:
        mixed = [("mathvision", {"options": [], "answer": f"\\frac{{{whole * bottom + top}}}{{{bottom}}}"})]
        for text in (f"{whole}\\frac{{{top}}}{{{bottom}}}", f"{whole}\\frac{top}{bottom}", f"{whole} {top}/{bottom}"):
            _check(mixed, wrapper.replace("@", text), True)
            _check(row, wrapper.replace("@", text), False)


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        (
            "2\\sqrt{3}",
            ["2√3", "\\sqrt{12}", "2\\sqrt3", "\\sqrt{12} \\text{ cm}", "3.46"],
            ["2", "3", "\\sqrt{3}", "3.4", "2\\sqrt{2}"],
        ),
        ("4 \\pi", ["4π", "4\\pi", "12.57", "4pi", "4 \\pi \\text{ cm}^2"], ["4", "\\pi", "4\\pi^2", "12.5"]),
        ("0.00012", ["1.2 × 10^-4", "1.2\\times10^{-4}", "1.2e-4"], ["1.2 × 10^4", "1.2"]),
        (
            "(3,-4)",
            ["P(3,-4)", "(3, −4)", "\\left(3,-4\\right)", "P = (3,-4)", "3, -4"],
            ["(-4,3)", "[3,-4]", "(3,4)", "3"],
        ),
        ("0.5", ["½", "50%", "50\\%", "\\frac12", "1/2", ".5", "50 percent"], ["5%", "0.5%", "0.05", "5"]),
        ("[0,1)", ["[0,1[", "\\left[0, 1\\right)"], ["(0,1)", "[0,1]", "]0,1["]),
        ("69{degrees}", ["69", "69°", "69 degrees"], ["6.9", "-69"]),
        ("\x0crac{36}{13}", ["\\frac{36}{13}", "36/13", "2\\frac{10}{13}"], ["36", "13"]),
        ("1:2", ["1 : 2", "\\frac12", "1 to 2", "0.5"], ["2:1", "1", "2"]),
        ("1/64", ["\\frac{1}{64}", "0.015625", "1/64"], ["1/640", "64", "0.01", "0"]),
        ("2309415687", ["2309415687", "2,309,415,687"], ["2309415688"]),
    ],
)
def test_other_numbers(gold: str, right: list[str], wrong: list[str]) -> None:
    row = [("mathvision", {"options": [], "answer": gold})]
    for wrapper in ("@", "\\boxed{@}", "The answer is $@$."):
        for text in right:
            _check(row, wrapper.replace("@", text), True)
        for text in wrong:
            _check(row, wrapper.replace("@", text), False)


# --- options ------------------------------------------------------------------------------------------------------

OPTIONS = [
    ["5 cm", "12 cm", "13 cm", "17 cm"],
    ["red", "dark red", "blue", "none of these"],
    ["$\\frac{1}{2}$", "$\\frac{1}{3}$", "$\\frac{2}{3}$", "$\\frac{3}{4}$"],
    ["25°", "50°", "75°", "100°"],
    ["1 h 5 min", "1 h 35 min", "2 h", "55 min"],
    ["0-5", "6-10", "11-15", "16-20"],
]
NAMED = [
    "@", "(@)", "@.", "**@**", "option @", "Option (@) is correct.", "@ is the correct answer.", "The answer is @.",
    "Answer: @", "Answer: (@)", "\\boxed{@}", "\\boxed{\\text{(@)}}", "\\boxed{\\textbf{@}}", "<answer>@</answer>",
    "<Answer>: <<@>>", "{\"answer\": \"@\"}", "So the correct option is (@).", "I would choose @.", "Therefore, @.",
    "Only @ works.", "故选@。", "故选：@", "因此选@。", "【答案】@", "正确选项是@。", "答案：@", "所以选项(@)正确。",
    "Réponse : @", "La bonne réponse est @.", "Antwort: @", "Die richtige Antwort ist @.", "Antwort (@)",
    "<think>A? B? C?</think>\n@", "@<|im_end|>", "Ｆinal answer：（@）", "My first guess was wrong.\nFinal Answer: @",
]  # fmt: skip
NAMES_NONE = [
    "@ and #", "@ or #", "@/#", "\\boxed{@, #}", "The answer is either @ or #.", "The answer is not @.",
    "I cannot determine which option is right.", "<think>The answer is @",
    "Okay, let me see. So the answer might be @. Wait, the", "@#", "vitamin @", "@: five\n#: six",
]  # fmt: skip


@DETERMINISTIC
@given(st.sampled_from(OPTIONS), st.integers(0, 3), st.sampled_from(NAMED))
def test_a_letter_names_its_option(texts: list[str], right: int, form: str) -> None:
    for i, letter in enumerate("ABCD"):
        _check(_option_rows(texts, "ABCD"[right]), form.replace("@", letter), i == right)


@pytest.mark.parametrize("form", NAMES_NONE)
def test_of_several_letters_none_is_named(form: str) -> None:
    for letter, other in ("BC", "DB"):
        _check(_option_rows(OPTIONS[0], letter), form.replace("@", letter).replace("#", other), False)
        _check(_option_rows(OPTIONS[0], other), form.replace("@", letter).replace("#", other), False)


OWN_TEXT = [
    "@", "@.", "The answer is @.", "\\boxed{@}", "<answer>@</answer>", "Answer: @", "So it must be @.", "答案：@",
    "Antwort: @",
]  # fmt: skip


@DETERMINISTIC
@given(st.sampled_from(OPTIONS), st.integers(0, 3), st.sampled_from(OWN_TEXT), st.booleans())
def test_an_options_own_text_names_it(texts: list[str], right: int, form: str, bare: bool) -> None:
    for i, text in enumerate(texts):
        said = text.removesuffix(" cm").removesuffix("°") if bare else text
        _check(_option_rows(texts, "ABCD"[right]), form.replace("@", said.strip("$")), i == right)


# --- words, thoughts, and what is no answer ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("transformation", True),
        ("The process is transformation.", True),
        ("\\boxed{\\text{Transformation}}", True),
        ("It is not transformation but conjugation.", False),
        ("transformation or conjugation", False),
        ("transform", False),
    ],
)
def test_words(reply: str, right: bool) -> None:
    row = {"question_type": "open", "options": "[]", "answer": "Transformation"}
    _check([("mmmu", row)], reply, right)


THOUGHT = "Okay, let's look at the picture. The red bar is 12 and the blue one is 14. Wait, I should check the"


@pytest.mark.parametrize(
    "reply", [THOUGHT, f"<think>{THOUGHT}", THOUGHT.replace("Wait", "So the answer is 14. Wait"), f"{THOUGHT} 14"[:-4]]
)
def test_a_thought_that_never_ends_has_no_answer(reply: str) -> None:
    for bench, row in (*_numeric_rows("14"), *_option_rows(["12", "13", "14", "15"], "C")):
        verdict = BENCHES[bench].grade(row, reply, "default")
        assert (verdict.parsed, verdict.correct) == (False, False), (bench, verdict)


@pytest.mark.parametrize("reply", ["The image", "To find", "Let's", "We need", "Looking at"])
def test_two_tokens_of_a_reply_are_no_answer(reply: str) -> None:
    word = {"question_type": "open", "options": "[]", "answer": "Transformation"}
    for bench, row in (("mmmu", word), *_numeric_rows("14"), *_option_rows(OPTIONS[1], "C")):
        assert BENCHES[bench].grade(row, reply, "default").parsed is False, bench
