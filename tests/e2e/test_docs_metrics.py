"""Every metric that a run writes is explained on its method's page, and every one explained there is written."""

import re
from pathlib import Path

import pytest

from methods import METHODS
from runners.train import run as train
from tests.support.helpers import history_of, lottery, metrics, small
from tests.support.paths import ROOT

TINY = ("train.steps=2", "train.max_completion_tokens=8", "model.teacher=embedded")
# Forms of a method that write further metrics: name -> variant and settings.
FORMS = {
    "sdpo": ("sdpo@official", ("train.updates=2",)),
    "grpo_opsd": ("grpo_opsd@mopd", ()),
}


def accuracy(completions: list[list[dict[str, str]]], **_: object) -> list[float]:
    """TRL names the metric after the function. Rollouts of a few tokens are never right."""
    return lottery(completions)


def _keys(folder: Path, method: str, settings: tuple[str, ...] = ()) -> set[str]:
    history_of(folder, small(method, *TINY, *settings))
    rows = metrics(folder)
    assert [row["step"] for row in rows] == [1, 2]
    return {key for row in rows for key in row} | {"seconds"}


@pytest.mark.parametrize("name", METHODS)
def test_the_page_explains_what_the_run_writes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train.REWARDS, "accuracy", {accuracy: 1.0})
    section = (ROOT / "docs" / "methods" / f"{name}.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]
    explained = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE))
    plain = _keys(tmp_path / "plain", name)
    assert plain <= set(explained)
    assert all(explained[key].startswith("only with") for key in set(explained) - plain - {"divergence"})
    variant, settings = FORMS.get(name, (name, ()))
    further = _keys(tmp_path / "form", variant, settings) if variant != name else plain
    assert further <= set(explained)
    assert set(explained) == plain | further
