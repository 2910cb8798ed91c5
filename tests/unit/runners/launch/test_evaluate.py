"""Which checkpoints of a run an evaluation is about."""

from pathlib import Path

import pytest

from eval.core.errors import UserError
from eval.pipeline.evaluate import identity
from eval.pipeline.results import write_bench
from runners.launch.evaluate import asked_steps, evaluate_run
from runners.run.run_dir import RunDir
from tests.support.helpers import small

RUN = RunDir(Path("r"))


@pytest.mark.parametrize(("at", "steps"), [(None, [4]), ("all", [2, 4]), ("4,2", [2, 4]), ("2", [2])])
def test_steps_are_those_asked_for(at, steps):
    assert asked_steps(RUN, [2, 4], at, 4, None) == steps


def test_a_checkpoint_that_is_left_is_no_evaluated_step():
    """Of 7 steps, each third evaluated and each second a checkpoint: the last two of these are there as well."""
    assert asked_steps(RUN, [3, 4, 6, 7], None, 7, 3) == [3, 6, 7]


def test_what_was_not_kept_is_said_with_its_mend():
    with pytest.raises(UserError, match=r"no weights of step 3, only of 2, 4: train with --set eval.every=N"):
        asked_steps(RUN, [2, 4], "3", 4, 2)
    with pytest.raises(UserError, match="write `all`, or steps"):
        asked_steps(RUN, [2, 4], "last", 4, 2)


def test_a_run_whose_weights_were_deleted_stays_evaluated(tmp_path, capsys):
    """As somebody does who needs the disk, and gives the sweep's command again."""
    run = RunDir(tmp_path / "s" / "grpo" / "seed0")
    settings = small("grpo", "train.steps=5", "eval.every=2", "eval.benches=[mmmu]")
    run.open(settings, "GRPO", "s", "embedded")
    run.update(status="done")
    for step in (2, 4, 5):
        with pytest.raises(UserError, match="has no weights: they are gone: put them back"):
            evaluate_run(run, settings.eval)
        stored = {"identity": identity("mmmu", "whatever it was", settings.eval)}
        write_bench(run.path / "eval" / str(step) / "mmmu", stored, [])
    capsys.readouterr()
    assert evaluate_run(run, settings.eval) == run.path / "eval" / "5"
    assert capsys.readouterr().out == f"{run.path} was evaluated before its weights were deleted: nothing to do\n"
    with pytest.raises(UserError, match=r"holds another evaluation \(temperature"):
        evaluate_run(run, settings.eval.model_copy(update={"temperature": 0.25}))
    with pytest.raises(UserError, match="has no weights"):
        evaluate_run(run, settings.eval.model_copy(update={"benches": ["mmmu", "wemath"]}))
