"""Which runs may stand in one table, and what their training warns of."""

from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from eval.core.errors import UserError
from reports.suite.comparable import require_comparable, training_notes, warnings
from reports.suite.read import Run, load_suite
from tests.support.report_suite import CORRECT, GENERATION, write_eval, write_suite


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("task_version", {"task_version": "2"}),
        ("grader_version", {"grader_version": "2"}),
        ("rule", {"rule": "official"}),
        ("edition", {"edition": "official"}),
        ("n", {"n": 7}),
        ("data", {"identity": {"data_id": "f00d"}}),
        ("generation.temperature", {"generation": GENERATION | {"temperature": 1.0}}),
        ("generation.max_pixels", {"generation": GENERATION | {"max_pixels": 4096}}),
    ],
)
def test_other_grading_is_refused_and_named(tmp_path, field, changes):
    suite = write_suite(tmp_path / "s")
    write_eval(suite / "rlsd" / "seed0", 60, CORRECT["rlsd"], **changes)
    with pytest.raises(UserError) as caught:
        require_comparable(load_suite(suite).runs)
    message = str(caught.value)
    assert f"{field} is " in message
    assert "rlsd/seed0" in message
    assert "grpo/seed0" in message
    assert "\n" not in message


def test_another_draw_or_machine_may_be_compared(tmp_path):
    suite = write_suite(tmp_path / "s")
    write_eval(
        suite / "rlsd" / "seed0",
        60,
        CORRECT["rlsd"],
        generation=GENERATION | {"seed": 5, "batch_size": 64, "device": "cuda", "decoding": "generate"},
    )
    require_comparable(load_suite(suite).runs)


def test_mixed_editions_across_benches_have_no_average(tmp_path):
    from reports.sections.table2 import tables

    suite = write_suite(tmp_path / "s")
    for path in suite.glob("*/seed0/eval/*/mmmu/result.json"):
        path.write_text(path.read_text().replace('"mini"', '"official"'))
    loaded = load_suite(suite)
    require_comparable(loaded.runs)
    table = tables(loaded).ours
    assert all(row.cells["average"] is None for row in table.rows)
    assert (table.columns[0].head, table.columns[4].head) == ("MMMU 60 of 900", "We-Math mini")
    assert any("mix editions" in note for note in warnings(loaded))


def test_a_part_of_the_official_set_is_not_official_and_has_no_average(tmp_path):
    from reports.sections.table2 import tables

    suite = write_suite(tmp_path / "s")
    for path in suite.glob("*/seed0/eval/*/*/result.json"):
        path.write_text(path.read_text().replace('"mini"', '"official"'))
    table = tables(load_suite(suite)).ours
    assert [column.head for column in table.columns[:2]] == ["MMMU 60 of 900", "MathVista 64 of 1000"]
    assert all(row.cells["average"] is None for row in table.rows)
    assert "official" not in table.title


HEALTHY = {"reward": [0.0] * 6 + [0.5] * 6, "truncated": [1.0] * 6 + [0.1] * 6, "dead_groups": [0.95] * 6 + [0.5] * 6}


def notes(**metrics: Any) -> list[str]:
    frame = pd.DataFrame({"method": "grpo", "seed": 0, "step": range(1, 13), **HEALTHY, **metrics})
    run = SimpleNamespace(name="grpo/seed0", method="grpo", seed=0)
    return training_notes(cast(Run, run), frame)


@pytest.mark.parametrize(
    ("metrics", "word"),
    [
        ({"truncated": 1.0}, "100% of the replies of its last 10 steps were cut"),
        ({"reward": 0.0}, "no reply got a reward in 12 steps"),
        ({"dead_groups": 0.96}, "in 96% of the groups"),
    ],
)
def test_a_run_that_cannot_have_learnt_is_told(metrics: dict[str, float], word: str) -> None:
    (note,) = notes(**metrics)
    assert note.startswith(f"grpo/seed0: {word}")


def test_a_healthy_run_is_not_and_one_without_figures_neither() -> None:
    assert notes() == []
    assert notes(truncated=float("nan"), dead_groups=float("nan")) == []
