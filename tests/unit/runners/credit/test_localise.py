import random
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from eval.benches.drawn import drawn_problem
from runners.credit.localise import Marks, auc, kept, localised, marks, touched


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


NUMBERS = [(2, 3), (7, 8)]
SLIP = Marks(NUMBERS, NUMBERS, [(7, 8)])


def test_credit_on_the_slip_is_found_and_credit_elsewhere_is_not() -> None:
    found = localised([reply(TOKENS, [-0.1, -0.1, -0.1, -0.1, -0.9, -0.1], 0)], [[SLIP]])
    assert found.auc.value == found.auc_stated.value == 1
    assert found.share.n == 0
    assert localised([reply(TOKENS, [-0.5, -0.5, -0.5, -0.5, -0.1, -0.5], 0)], [[SLIP]]).auc.value == 0
    assert localised([reply(TOKENS, [-0.5] * 6, 0)], [[SLIP]]).auc.value == 0.5


def test_blame_of_all_numbers_alike_finds_numbers_and_no_slips() -> None:
    found = localised([reply(TOKENS, [-0.1, -0.9, -0.1, -0.1, -0.9, -0.1], 0)], [[SLIP]])
    assert found.auc.value == pytest.approx(4.5 / 5)
    assert found.auc_stated.value == 0.5


def test_the_share_of_right_replies_and_its_base_rate() -> None:
    known = [[Marks(NUMBERS, NUMBERS, [])]]
    found = localised([reply(TOKENS, [0.1, 0.4, 0.1, 0.1, 0.2, 0.1], 1)], known)
    assert found.share.value == pytest.approx(0.6)
    assert found.base.value == pytest.approx(2 / 6)
    even = localised([reply(TOKENS, [0.5] * 6, 1)], known)
    assert even.share.value == even.base.value == pytest.approx(even.share_permuted.value)


def test_what_a_clip_keeps_is_by_reply() -> None:
    """Of .6 + .4 it leaves .2 + .2, of .1 all, and the reply with even weights has nothing to keep: (.4 + 1) / 2."""
    weights = {"clipped": [(1.2, 0.8), (1.1, 1.0), (1.0, 1.0)], "free": [(1.6, 0.6), (1.1, 1.0), (1.0, 1.0)]}
    clipped, free = (
        [pd.concat([pd.DataFrame({"rollout": b, "weight": pair}) for b, pair in enumerate(pairs)])]
        for pairs in weights.values()
    )
    found = kept(clipped, free)
    assert (found.value, found.stderr, found.n) == (pytest.approx(0.7), None, 2)


def test_all_permutations_of_a_reply_are_at_chance_whatever_its_ties() -> None:
    """So that what a shuffled control has beyond 1/2 is luck of the draw."""
    size_T, slips_T = np.array([0.1, 0.2, 0.2, 0.2, 0.1]), np.array([True, True, False, False, False])
    assert auc(np.array([*permutations(size_T)]), slips_T) == pytest.approx(0.5)
    frames = [reply(TOKENS, [-0.1, -0.1, -0.1, -0.1, -0.9, -0.1], 0) for _ in range(30)]
    assert localised(frames, [[SLIP]] * 30).auc_permuted.value == pytest.approx(0.5, abs=0.02)


def test_replies_of_a_group_are_one_cluster() -> None:
    found, blind = [-0.1, -0.1, -0.1, -0.1, -0.9, -0.1], [-0.5] * 6
    group = (
        pd.concat([reply(TOKENS, found, 0, b) for b in range(4)]),
        pd.concat([reply(TOKENS, blind, 0, b) for b in range(4)]),
    )
    by_group = localised(group, [[SLIP] * 4] * 2).auc
    assert by_group.n == 8
    assert by_group.value == 0.75
    assert by_group.stderr == pytest.approx(0.25)  # of the two means 1 and .5, as if there were two replies


def test_a_reply_without_slips_has_none_and_every_slip_of_a_chain_is_marked() -> None:
    rng = random.Random(3)
    for _ in range(50):
        problem = drawn_problem(rng)
        clean = problem.demonstrate()
        assert marks(problem, clean).slips == []
        found = marks(problem, clean)
        assert [clean[start:end].replace(".", "").isdigit() for start, end in found.decisive] == [True] * len(
            found.decisive
        )
        # A number bent by hand is the only slip: what follows was right for the true one, so it does not follow now.
        start, end = found.decisive[-1]
        bent = f"{clean[:start]}{float(clean[start:end]) + 1:g}{clean[end:]}"
        assert [span[0] for span in marks(problem, bent).slips] == [start]


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
    assert [text[start:end] for start, end in marks(problem, text).slips] == [str(wrong)]
