import numpy as np
import pytest

from eval.leakage.copied import COPIED, SPAN, beyond_chance, overlap, shared_spans

STORY = " ".join(f"w{chr(97 + i)}" for i in range(24))  # 24 words in a row


def test_an_overlap_is_counted_by_hand() -> None:
    # 4-grams of the solution: abcd, bcde; the reply has the first. Longest common span: a b c d.
    assert overlap("x a b c d y", "a b c d e") == (0.5, 4)
    assert overlap("a b", "c d e f") == (0.0, 0)
    assert overlap("", "a") == (0.0, 0)


def test_a_span_is_as_long_as_it_goes_and_where_it_stands() -> None:
    assert shared_spans(f"First {STORY.upper()} end", f"{STORY} more", least=24) == [STORY]
    assert shared_spans(f"First {STORY} end", f"{STORY} more", least=25) == []
    assert shared_spans("a b c x a b c", "a b c", least=3) == ["a b c", "a b c"]


def test_what_the_question_says_is_not_copied() -> None:
    assert shared_spans(STORY, STORY, question=f"Look: {STORY}", least=4) == []


def test_the_detector_reads_the_row_that_has_a_solution() -> None:
    assert len(STORY.split()) >= SPAN
    assert COPIED.find(f"So {STORY}.", {"question": "Why?", "solution": STORY}) == [STORY]
    assert COPIED.find(f"So {STORY}.", {"question": "Why?", "solution": None, "explanation": STORY}) == [STORY]
    assert COPIED.find(f"So {STORY}.", {"question": "Why?", "solution": None}) == []


def test_copies_exceed_chance_and_own_words_do_not() -> None:
    rng = np.random.default_rng(0)
    solutions = [" ".join(rng.choice(list("abcdefgh"), 30)) for _ in range(12)]
    others = [" ".join(rng.choice(list("abcdefgh"), 30)) for _ in range(12)]
    copied = beyond_chance(solutions, solutions, range(12))
    assert copied.grams.value is not None
    assert copied.grams.value > 0.9
    assert copied.p == pytest.approx(0.05)
    free = beyond_chance(others, solutions, range(12))
    assert free.grams.value is not None
    assert free.grams.stderr is not None
    assert abs(free.grams.value) < 4 * free.grams.stderr + 0.01
    assert free.p > 0.05


def test_one_problem_has_nobody_to_exchange_with() -> None:
    with pytest.raises(ValueError, match="fewer than two"):
        beyond_chance(["a", "b"], ["c", "c"], [1, 1])
