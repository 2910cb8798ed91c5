"""Which checkpoints of a run an evaluation is about."""

from pathlib import Path

import pytest

from eval.core.errors import UserError
from runners.launch.evaluate import asked_steps
from runners.run.run_dir import RunDir

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
