"""The default rule reads every wrapper that models answer in, for every kind of question of every bench."""

from typing import Any, NamedTuple

import pytest

from eval.benches import BENCHES

Row = dict[str, Any]


class Kind(NamedTuple):
    row: Row
    right: str
    wrong: str


def _mmmu(kind: str, options: str, answer: str) -> Row:
    return {"id": "validation_Math_1", "question_type": kind, "options": options, "answer": answer}


def _choice(choices: list[str], answer: str) -> Row:
    return {
        "pid": "1", "question_type": "multi_choice", "answer_type": "text", "choices": choices, "answer": answer
    }  # fmt: skip


def _free(answer_type: str, answer: str, precision: float | None = None) -> Row:
    return {
        "pid": "1", "question_type": "free_form", "answer_type": answer_type, "answer": answer, "precision": precision
    }  # fmt: skip


COLOURS = ["red", "green", "blue", "black"]
NUMBERS = ["3", "4", "5", "6", "8"]
KINDS = {
    "mmmu letter": Kind(_mmmu("multiple-choice", "['3', '4', '5', '6']", "C"), "C", "B"),
    "mmmu number": Kind(_mmmu("open", "[]", "7.30"), "7.3", "7.4"),
    "mmmu word": Kind(_mmmu("open", "[]", "['Tampa', 'Florida']"), "Tampa", "Orlando"),
    "mathvista letter": Kind(_choice(COLOURS, "blue"), "C", "B"),
    "mathvista choice": Kind(_choice(COLOURS, "blue"), "blue", "red"),
    "mathvista degree": Kind(_choice(["30°", "44°"], "44°"), "44^\\circ", "30^\\circ"),
    "mathvista fraction": Kind(_choice(["1", "\\frac { 4 } { 3 }"], "\\frac { 4 } { 3 }"), "\\frac{4}{3}", "1"),
    "mathvista integer": Kind(_free("integer", "14"), "14", "15"),
    "mathvista one place": Kind(_free("float", "1.2", 1.0), "1.24", "1.3"),
    "mathvista two places": Kind(_free("float", "0.13", 2.0), "0.13", "0.14"),
    "mathvista list": Kind(_free("list", "[2007, 2008]"), "[2007,2008]", "[2007, 2009]"),
    "mathvision letter": Kind({"options": NUMBERS, "answer": "C"}, "C", "B"),
    "mathvision option": Kind({"options": NUMBERS, "answer": "C"}, "5", "6"),
    "mathvision number": Kind({"options": [], "answer": "12"}, "12", "13"),
    "mathvision fraction": Kind({"options": [], "answer": "4/3"}, "\\frac{4}{3}", "\\frac{3}{4}"),
    "mathvision root": Kind({"options": [], "answer": "2\\sqrt{3}"}, "2\\sqrt{3}", "3\\sqrt{2}"),
    "zerobench number": Kind({"question_answer": "3.75"}, "3.75", "3.7"),
    "zerobench clock": Kind({"question_answer": "10:25"}, "10:25", "10:26"),
    "zerobench words": Kind({"question_answer": "Blue chair"}, "blue chair", "red chair"),
    "zerobench letter": Kind({"question_answer": "C"}, "C", "B"),
    "wemath letter": Kind({"answer": "C"}, "C", "B"),
}
WRAPPERS = {
    "@": "plain",
    "(@)": "plain",
    "@.": "plain",
    "$@$": "plain",
    "\\(@\\)": "plain",
    "`@`": "plain",
    "<think>It may be \\boxed{9}</think>\n\n@": "plain",
    "The answer is @.": "phrase",
    "The answer is: @": "phrase",
    "So the answer is (@).": "phrase",
    "The answer is **@**.": "phrase",
    "The correct answer is \\(@\\).": "phrase",
    "Answer: @": "phrase",
    "Answer:\n@": "phrase",
    "**Answer:** @": "phrase",
    "**Answer: @**": "phrase",
    "**Final answer**: @": "phrase",
    "### Answer\n@": "phrase",
    "**Final Answer**\n\n@": "phrase",
    "答案是@。": "phrase",
    "<think>9</think>\n\nThe answer is @.": "phrase",
    "**@**": "bold",
    "It is in the second row:\n**@**": "bold",
    "The answer is 9? No.\n**@**": "bold",
    "so {@}.": "braces",
    "The final answer is {@}": "phrase>braces",
    "\\boxed{@}": "boxed",
    "$$\\boxed{\\text{@}}$$": "boxed",
    "\\[\\boxed{ @ }\\]": "boxed",
    "\\boxed{\\textbf{@}}": "boxed",
    "\\boxed{(@)}": "boxed",
    "The answer is \\boxed{@}.": "boxed",
    "\\boxed{9}, no: \\boxed{@}": "boxed",
    "<think>Is the answer 9?</think>\n\n\\boxed{@}": "boxed",
    "<answer>@</answer>": "tag",
    "<ANSWER>\n@\n</ANSWER>": "tag",
    "<answer>(@)</answer>": "tag",
    "<answer>@.</answer>": "tag",
    "<thought>It may be 9, (A).</thought><answer>@</answer>": "tag",
    "\\boxed{<answer>@</answer>}": "tag",
    "<answer>\\boxed{@}</answer>": "tag>boxed",
    "<thought>9</thought>\n<answer>$\\boxed{@}$</answer>": "tag>boxed",
    "<answer>The sides are equal, so the answer is @.</answer>": "tag>phrase",
    "<answer>**@**</answer>": "tag>bold",
    "<Answer>: <<@>>": "angle",
    "<Answer>: @": "angle",
    "<Thought process>: <<two of A>> <Answer>: <<(@)>>": "angle",
    "<Answer>: <<\\boxed{@}>>": "boxed",
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_wrapper_is_read(wrapper: str) -> None:
    for kind, (row, right, wrong) in KINDS.items():
        for answer, correct in ((right, True), (wrong, False)):
            verdict = BENCHES[kind.split()[0]].grade(row, wrapper.replace("@", answer), "default")
            found = (verdict.wrapper, verdict.parsed, verdict.correct)
            assert found == (WRAPPERS[wrapper], True, correct), (kind, verdict)
