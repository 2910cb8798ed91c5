"""Where a reply's final answer is found, and which option it names."""

import pytest

from eval.benches import BENCHES
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
        ("Answer: 2.\n\nQuestion: how many?\n\nAnswer: ", "2"),  # the last one that says something
        ("The correct option is (D) 2\u221a{3}.", "(D) 2\u221a{3}"),  # nor are braces after a root,
        ("It is (A) \\frac { 5 } { 12 }", "It is (A) \\frac { 5 } { 12 }"),  # after a command,
        ("(A) {a, b}, {c}", "(A) {a, b}, {c}"),  # or in a list of sets
        ("so {\\frac{4}{3}}", "\\frac{4}{3}"),
        ("The answer is (C). It would **decrease**.", "(C)"),  # bold in the sentence after the answer stresses
        ("The answer is (C)? No:\n**D**", "D"),
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
     ("A nice figure", None), ("Cannot be determined", None), ("E", None), ("B and C", None), ("so\n\nB", "B"),
     ("(A), (C), and (D)", None), ("A or B", None), ("A, 5 cm", None), ("(A) and the rest", "A"),
     ("(A) 3\n(B) 4\n(C) 5", None), ("A. 3\nB. 4", None), ("C. Washington D.C.", "C"), ("(A) is low, so (B)", None),
     ("C. A cube", "C")],
)  # fmt: skip
def test_option_letter(text: str, letter: str | None) -> None:
    assert option_letter(text, "ABCD") == letter
