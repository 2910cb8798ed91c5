import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.grading import BENCHES
from eval.grading.extract import cut, last_box, option_letter

ROWS = {
    "mmmu": {
        "id": "validation_Math_1",
        "question_type": "multiple-choice",
        "options": "['3', '4', '5', '6']",
        "answer": "C",
    },
    "mathvista": {
        "pid": "1",
        "question_type": "multi_choice",
        "answer_type": "text",
        "choices": ["red", "green", "blue", "black"],
        "answer": "blue",
    },
    "mathvision": {"id": "1", "options": ["3", "4", "5", "6", "8"], "answer": "C"},
    "zerobench": {"question_id": "1_1", "question_answer": "C"},
    "wemath": {"ID": "2steps_1", "key": "2steps_1", "answer": "C"},
}
FORMS = {
    "C": "plain",
    "(C)": "plain",
    "C.": "plain",
    "The answer is C.": "phrase",
    "Answer: C": "phrase",
    "**C**": "bold",
    "\\boxed{C}": "boxed",
    "<answer>C</answer>": "tag",
    "{C}": "braces",
    "<Answer>: <<C>>": "angle",
    "<thought>It may be (A).</thought><answer>C</answer>": "tag",
    "<think>It may be (A). \\boxed{A}</think>\n\nC": "plain",
    "<answer>\\boxed{C}</answer>": "tag>boxed",
    "<answer>The sides are equal, so the answer is C.</answer>": "tag>phrase",
    "<Thought process>: <<two of A>> <Answer>: <<C>>": "angle",
    "\\boxed{A}, no: \\boxed{C}": "boxed",
    "$\\boxed{\\text{C}}$": "boxed",
    "**Answer:** C": "phrase",
    "The answer is (A)? No.\n**C**": "bold",
}


@pytest.mark.parametrize("bench", ROWS)
@pytest.mark.parametrize("reply", FORMS)
def test_every_bench_reads_every_wrapper(bench: str, reply: str) -> None:
    verdict = BENCHES[bench].grade(ROWS[bench], reply, "default")
    assert (verdict.wrapper, verdict.parsed, verdict.correct) == (FORMS[reply], True, True)


@pytest.mark.parametrize("bench", ROWS)
def test_a_wrong_letter_is_wrong_and_parsed(bench: str) -> None:
    verdict = BENCHES[bench].grade(ROWS[bench], "so \\boxed{B}", "default")
    assert (verdict.parsed, verdict.correct) == (True, False)


@pytest.mark.parametrize("bench", ROWS)
def test_a_reply_without_an_answer_is_unparsed_and_wrong(bench: str) -> None:
    reply = "We look at the picture for a while and then at another part of it, but nothing can be concluded"
    verdict = BENCHES[bench].grade(ROWS[bench], reply, "default")
    assert (verdict.parsed, verdict.correct) == (False, False)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{3} and \\boxed{4", "3"),  # the last box never closes
        ("\\boxed{ \\boxed{7} }", "7"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("The answer is 3.5 cm. It was easy.", "3.5 cm"),
        ("Answer:\n12", "12"),
        ("The answer is St. Louis", "St. Louis"),
        ("<think>I wonder", ""),  # a thought that never ends has no answer …
        ("<think>then the answer is 4, or", ""),
        ("<think>so \\boxed{5}", "5"),  # … unless it stands in a wrapper made for one
        ("\u0130\u0130<answer>7</answer>", "7"),  # these letters grow in lower case
        ("<answer>3</answer> and </answer>", "3"),
        ("a </think> b </think> c", "c"),
        ("<answer>3</answer> then <answer> 4 </answer>", "4"),
        ("\\frac{1}{2}", "\\frac{1}{2}"),  # LaTeX braces are no wrapper
        ("**Step 1:** add\nso 9 it is", "**Step 1:** add\nso 9 it is"),  # bold counts in the last line only
        ("", ""),
    ],
)
def test_cut(reply: str, text: str) -> None:
    assert cut(reply).text == text


def test_an_unbalanced_box_is_none() -> None:
    assert last_box("\\boxed{1") is None
    assert last_box("no box }{") is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [("option B", "B"), ("(d)", "D"), ("B. 300", "B"), ("B) 300", "B"), ("\\textbf{(B)} 3", "B"),
     ("A nice figure", None), ("Cannot be determined", None), ("E", None), ("B and C", None), ("so\n\nB", "B")],
)  # fmt: skip
def test_option_letter(text: str, letter: str | None) -> None:
    assert option_letter(text, "ABCD") == letter


@pytest.mark.parametrize(
    "unit",
    [
        "<answer>",
        "\\boxed{",
        "{",
        "**",
        "answer is ",
        "1",
        "1,",
        "1.",
        "is 3\n",
        "(A)",
        "</think>",
        "\\frac",
        "a ",
        "$",
        "[",
    ],
)
@pytest.mark.parametrize("bench", ROWS)
@pytest.mark.parametrize("rule", ["default", "official"])
def test_a_looping_reply_of_100_kb_takes_less_than_a_second(bench: str, rule: str, unit: str) -> None:
    start = time.perf_counter()
    BENCHES[bench].grade(ROWS[bench], unit * (100_000 // len(unit)), rule)  # type: ignore[arg-type]
    assert time.perf_counter() - start < 1


OPEN = {
    "mmmu": {"id": "validation_Math_1", "question_type": "open", "options": "[]", "answer": "['24/7', '3.429']"},
    "mathvista": {"pid": "1", "question_type": "free_form", "answer_type": "float", "precision": 2.0, "answer": "0.13"},
    "mathvision": {"id": "1", "options": [], "answer": "2\\sqrt{3}"},
}
MARKUP = st.sampled_from(
    ["\\boxed{", "}", "{", "<answer>", "</answer>", "answer is ", "\\frac", "^", "!", "(", ")", ",", "9", "-"]
)


@settings(max_examples=150, deadline=1000)
@given(st.lists(st.one_of(MARKUP, st.text(max_size=5)), max_size=60).map("".join))
def test_no_reply_breaks_a_grader(reply: str) -> None:
    for bench, row in [*ROWS.items(), *OPEN.items()]:
        for rule in ("default", "official"):
            verdict = BENCHES[bench].grade(row, reply, rule)  # type: ignore[arg-type]
            assert isinstance(verdict.correct, bool)
