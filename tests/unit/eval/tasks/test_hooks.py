"""The files by which lm-eval's own command finds the benches."""

import pytest
import yaml

from eval.benches import BENCHES
from eval.tasks.hooks import BenchTask
from tests.support.paths import ROOT

TASKS = ROOT / "eval" / "tasks"


def test_every_bench_has_its_file_and_no_other_stands_there() -> None:
    assert {file.stem for file in TASKS.glob("*.yaml")} == set(BENCHES)


@pytest.mark.parametrize("name", BENCHES)
def test_a_file_names_its_bench_and_the_class(name: str) -> None:
    text = (TASKS / f"{name}.yaml").read_text()
    named = yaml.safe_load(text.replace("!function ", ""))
    assert named == {"task": name, "class": f"hooks.{BenchTask.__name__}"}
