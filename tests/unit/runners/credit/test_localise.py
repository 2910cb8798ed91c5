import random

import numpy as np
import pandas as pd
import pytest

from eval.benches.drawn import drawn_problem
from runners.credit.localise import auc, localised, touched
from runners.credit.marks import Marks, marks, slips


def reply(tokens: list[str], credit: list[float], reward: float, rollout: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"rollout": rollout, "token": tokens, "advantage": credit, "reward": reward})


TOKENS = ["a=", "3", ", ", "b=", "4", ", "]


def test_the_area_by_hand() -> None:
    # The positive (2) is above one negative (1), level with one (2), below one (3): 1.5 of 3.
    assert auc(np.array([1.0, 2, 2, 3]), np.array([False, True, False, False])) == 0.5
    assert auc(np.array([1.0, 5]), np.array([False, True])) == 1
    assert auc(np.array([1.0, 1]), np.array([False, True])) == 0.5
    assert auc(np.ones(2), np.ones(2, bool)) is None


def test_tokens_are_touched_by_characters() -> None:
    frame = reply(TOKENS, [0.0] * 6, 0)
    assert touched(frame, [(2, 3)]).tolist() == [False, True, False, False, False, False]
    assert touched(frame, [(1, 3), (7, 8)]).tolist() == [True, True, False, False, True, False]
    assert not touched(frame, []).any()


def test_credit_on_the_slip_is_found_and_credit_elsewhere_is_not() -> None:
    known = [[Marks([(2, 3), (7, 8)], [(7, 8)])]]
    found = localised([reply(TOKENS, [-0.1, -0.1, -0.1, -0.1, -0.9, -0.1], 0)], known)
    assert found.auc.value == 1
    assert found.share.n == 0
    assert localised([reply(TOKENS, [-0.5, -0.5, -0.5, -0.5, -0.1, -0.5], 0)], known).auc.value == 0
    assert localised([reply(TOKENS, [-0.5] * 6, 0)], known).auc.value == 0.5


def test_the_share_of_right_replies_and_its_base_rate() -> None:
    known = [[Marks([(2, 3), (7, 8)], [])]]
    found = localised([reply(TOKENS, [0.1, 0.4, 0.1, 0.1, 0.2, 0.1], 1)], known)
    assert found.share.value == pytest.approx(0.6)
    assert found.base.value == pytest.approx(2 / 6)
    even = localised([reply(TOKENS, [0.5] * 6, 1)], known)
    assert even.share.value == even.base.value


def test_shuffled_credit_is_at_chance() -> None:
    frames = [reply(TOKENS, [-0.1, -0.1, -0.1, -0.1, -0.9, -0.1], 0) for _ in range(30)]
    found = localised(frames, [[Marks([(2, 3), (7, 8)], [(7, 8)])]] * 30, shuffles=20)
    assert found.auc.value == pytest.approx(0.5, abs=0.05)


def test_a_reply_without_slips_has_none_and_every_slip_of_a_chain_is_marked() -> None:
    rng = random.Random(3)
    for _ in range(50):
        problem = drawn_problem(rng)
        clean = problem.demonstrate()
        assert slips(problem, clean) == []
        found = marks(problem, clean)
        assert [clean[start:end].replace(".", "").isdigit() for start, end in found.decisive] == [True] * len(
            found.decisive
        )
        # A number bent by hand is the only slip: what follows was right for the true one, so it does not follow now.
        start, end = found.decisive[-1]
        bent = f"{clean[:start]}{float(clean[start:end]) + 1:g}{clean[end:]}"
        assert [span[0] for span in slips(problem, bent)] == [start]


def test_a_chain_that_goes_on_from_a_slip_is_not_blamed_twice() -> None:
    rng = random.Random(4)
    problem = next(p for p in iter(lambda: drawn_problem(rng), None) if p.kind == "weighted" and not p.options)
    a, b = problem.groups[:2]
    wrong = a.count + 1
    v = problem.weights[0]
    text = (
        f"I see {a.colour} {a.shape}s={wrong}, {b.colour} {b.shape}s={b.count}, "
        f"{v}*{wrong}={v * wrong}, {v * wrong}+{b.count}={v * wrong + b.count}, so \\boxed{{{v * wrong + b.count}}}"
    )
    assert [text[start:end] for start, end in slips(problem, text)] == [str(wrong)]
