"""What a run says of its metrics, so that the report draws them in its words."""

from collections.abc import Mapping

import pytest

from methods import METHODS, Method, Teacher
from runners.run.metrics import METRICS, declared


class TwoTeachers(Method):
    name, label = "two", "Two"

    @property
    def teachers(self) -> Mapping[str, Teacher]:
        return {"right": Teacher("live"), "wrong": Teacher("live")}


@pytest.mark.parametrize("name", METHODS)
def test_every_metric_has_a_title_and_says_what_it_is(name: str) -> None:
    found = declared(METHODS[name]())
    assert set(METRICS) | set(METHODS[name].metrics) == set(found)
    assert all(
        words["title"] and words["title"][0].isupper() and words["help"].endswith(".") for words in found.values()
    )


def test_several_teachers_have_a_gap_each() -> None:
    assert {name for name in declared(TwoTeachers()) if name.startswith("gap")} == {"gap", "gap_right", "gap_wrong"}
    assert "gap_answer" not in declared(METHODS["rlsd"]())
