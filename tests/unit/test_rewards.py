"""The verifier of training: typed answers in the wrappers that models use."""

import time

import pytest

from runners.rewards import accuracy, is_right, same_answer


@pytest.mark.parametrize(
    ("gold", "found", "same"),
    [
        ("C", "C", True),
        ("C", "(C)", True),
        ("C", "c.", True),
        ("C", "C. 5 cm", True),
        ("C", "cube", False),
        ("C", "D", False),
        ("12", "12.0", True),
        ("1,234", "1234", True),
        ("0.5", ".5", True),
        ("12", "13", False),
        ("12", "", False),
        ("yes", "Yes", True),
        ("yes", "no", False),
        ("2\\sqrt{3}", "\\sqrt{12}", True),
        ("\\frac{1}{2}", "0.5", True),
        ("(3,4)", "(3, 4)", True),
        ("(3,4)", "(4, 3)", False),
        ("8\\pi", "8", False),
    ],
)
def test_same_answer(gold: str, found: str, same: bool) -> None:
    assert same_answer(gold, found) is same


@pytest.mark.parametrize(
    "reply",
    [
        "I see 3. \\boxed{7}",
        "<think>it is 9</think><answer>7</answer>",
        "So the answer is 7.",
        "**7**",
        "\\boxed{13} no, \\boxed{7}",
    ],
)
def test_the_final_answer_is_cut_out_of_the_reply(reply: str) -> None:
    assert is_right(reply, "7")
    assert not is_right(reply, "9")


def test_a_reply_without_an_answer_is_wrong_and_a_long_one_is_quick() -> None:
    assert not is_right("", "7")
    start = time.perf_counter()
    assert not is_right("\\boxed{" * 20_000, "7")
    assert time.perf_counter() - start < 2


def test_reward_function_takes_trl_columns() -> None:
    completions = [[{"role": "assistant", "content": "\\boxed{7}"}], [{"role": "assistant", "content": "\\boxed{8}"}]]
    assert accuracy(completions, answer=["7", "7"], prompts=[], trainer_state=None) == [1.0, 0.0]
