"""Suites as files: every one of ours can be run, and a variant's settings win over those that all share."""

from pathlib import Path

import pytest

from eval.core.errors import UserError
from runners.launch import suite_file
from runners.launch.sweep import jobs
from runners.run.config import resolve
from runners.run.registry import complete

MINE = """
delta_to: cpu
train: {steps: 7}
eval: {benches: [mmmu]}
suite:
  about: Mine.
  rows: {grpo: 2, grpo@long: 1}
  variants:
    grpo:
      long: {train: {steps: 9}}
  seconds_a_step: 360
  seconds_an_evaluation: 1710
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.yaml").write_text(MINE)
    return str(tmp_path / "mine.yaml")


@pytest.mark.parametrize("name", suite_file.names())
def test_every_row_of_ours_resolves(name: str) -> None:
    part = suite_file.read(name)
    for method in part.rows:
        settings, _ = complete(resolve(name, method, 0, []))
        assert settings.preset == name
    variants = {f"{method}@{variant}" for method, found in part.variants.items() for variant in found}
    assert variants <= part.rows.keys(), "none is defined that is not run"
    assert all(command.startswith("cli.py ") for command in part.needs.values())


def test_a_file_is_jobs_with_their_settings_and_an_estimate(mine: str, tmp_path: Path) -> None:
    work = suite_file.plan(mine, tmp_path, [], True)
    assert [job.title for job in work] == ["base", "grpo seed 0", "grpo@long seed 0", "grpo seed 1"]
    assert [job.steps for job in work] == [1, 8, 10, 8]
    assert work[2].run.path == tmp_path / "mine" / "grpo@long" / "seed0"
    assert work[2].arguments[:7] == ("train", "--method", "grpo@long", "--seed", "0", "--preset", mine)
    # 7 + 7 + 9 steps at six minutes and four evaluations of 28.5 are 4.2 hours of one core
    assert "4 of 4 runs to do: 23 steps, 4 evaluations, about 2.1 hours with 2" in suite_file.estimate(mine, work, 2)
    work[1].run.path.mkdir(parents=True)
    work[1].run.metrics.write_text("{}\n" * 7)
    assert "16 steps, 4 evaluations" in suite_file.estimate(mine, work, 2), "what is done is left out"


def test_every_evaluation_over_training_is_in_the_estimate(mine: str, tmp_path: Path) -> None:
    Path(mine).write_text(MINE.replace("{benches: [mmmu]}", "{benches: [mmmu, wemath], every: 3}"))
    work = suite_file.plan(mine, tmp_path, [], True)
    # at steps 3, 6 and 7 of seven, twice; at 3, 6 and 9 of nine; and the base
    assert "23 steps, 10 evaluations" in suite_file.estimate(mine, work, 1)


def test_settings_of_the_command_line_win(mine: str, tmp_path: Path) -> None:
    work = suite_file.plan(mine, tmp_path, ["train.steps=3"], False)
    assert [job.steps for job in work] == [3, 3, 3]


def test_what_is_missing_is_one_line(mine: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no suite nothing: choose one of ablations, "):
        suite_file.read("nothing")
    Path(mine).write_text(MINE + "  needs: {no/such/folder: cli.py base --longer --out no/such/folder}\n")
    with pytest.raises(UserError, match=r"needs no/such/folder: make it by `uv run cli.py base --longer"):
        suite_file.plan(mine, tmp_path, [], True)
    Path(mine).write_text(MINE.replace("about:", "abuot:"))
    with pytest.raises(UserError, match=r"mine.yaml: (about: Field required|unknown key 'abuot')"):
        suite_file.read(mine)
    Path(mine).write_text("delta_to: cpu\n")
    with pytest.raises(UserError, match="with a part suite"):
        suite_file.read(mine)


def test_a_row_of_jobs_may_have_seeds_of_its_own(tmp_path: Path) -> None:
    work = jobs({"grpo": [0, 3], "rlsd": [1]}, "cpu", "s", tmp_path, [], False)
    assert [job.title for job in work] == ["grpo seed 0", "grpo seed 3", "rlsd seed 1"]
