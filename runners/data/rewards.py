"""The verifiable rewards: is a reply's final answer the reference answer, and does it stand where the prompt asks?

Both read a reply as the benches' grading does: `eval/grading/extract.py` cuts the answer out, `equal.py` compares it.
"""

import re
from typing import Any

from eval.grading.equal import same_answer
from eval.grading.extract import LONGEST_BARE_ANSWER, THINK, THINK_END, cut, last_box


def accuracy(completions: list[list[dict[str, Any]]], answer: list[str], **_: Any) -> list[float]:
    """TRL's reward function: 1 for a right reply, else 0."""
    return [float(is_right(c[-1]["content"], a)) for c, a in zip(completions, answer, strict=True)]


def formatted(completions: list[list[dict[str, Any]]], **_: Any) -> list[float]:
    """TRL's reward function: 1 where the reply ends in one closed box.

    After the thought, if there is one, a box occurs once; it is closed and not empty; and nothing comes after it but
    the rest of its line and closing marks. `so \\boxed{7} points.` is in form; a second box, a box in a thought that
    never ends, a box cut at the token limit and a paragraph after the box are not.
    """
    return [float(_in_form(c[-1]["content"])) for c in completions]


_CLOSING = re.compile(r"(?:\s|\$|\\\]|\\\)|\*|\.|</answer>)*", re.I)


def _in_form(reply: str) -> bool:
    said = THINK_END.split(reply)[-1]
    box = last_box(said)
    if not box or said.count("\\boxed") != 1 or THINK.search(said):
        return False
    after = said.partition("\\boxed")[2].partition(box)[2].partition("}")[2]
    return _CLOSING.fullmatch(after.partition("\n")[2]) is not None


def is_right(reply: str, answer: str) -> bool:
    """Whether the final answer cut out of a reply is the reference answer; a reply without one is wrong."""
    said = cut(reply)
    if said.wrapper == "plain" and len(said.text) > LONGEST_BARE_ANSWER:
        return False  # a chain that was cut off at `2+3=5` has not answered
    return same_answer(answer, said.text)
