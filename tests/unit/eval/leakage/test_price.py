from math import isclose, sqrt

import pytest

from eval.leakage.clustered import mean
from eval.leakage.price import price


def test_a_mean_has_the_error_of_its_clusters() -> None:
    # Two items of two equal replies each: as two draws of 1 and 0, s^2 = .5, stderr sqrt(.5 / 2).
    found = mean([1, 1, 0, 0], ["a", "a", "b", "b"])
    assert found.value == 0.5
    assert isclose(found.stderr or 0, 0.5)
    # Replies to different items: the plain standard error of four draws.
    assert isclose(mean([1, 1, 0, 0], range(4)).stderr or 0, sqrt(1 / 3 / 4))
    assert mean([], []) == (None, None, 0)
    assert mean([1.0, 0.0], ["a", "a"]).stderr is None


def test_leaks_on_hard_items_have_no_price_of_their_own() -> None:
    """Leaking replies are right half as often, and so is the base on their items."""
    leaks = [True] * 4 + [False] * 4
    right = [True, False, True, False, True, True, True, True]
    found = price(leaks, right, list("aabbccdd"), {"a": 0.5, "b": 0.5, "c": 1.0, "d": 1.0})
    assert found is not None
    assert found.plain.value == -0.5
    assert found.base.value == -0.5
    assert found.paired.value == 0


def test_a_price_at_equal_difficulty_is_found() -> None:
    found = price([True, False] * 4, [False, True] * 4, list("aabbccdd"), dict.fromkeys("abcd", 0.5))
    assert found is not None
    assert found.paired.value == pytest.approx(-1)


def test_where_all_leak_or_none_there_is_no_price() -> None:
    assert price([True], [True], ["a"], {"a": 1.0}) is None
    assert price([False], [True], ["a"], {"a": 1.0}) is None
