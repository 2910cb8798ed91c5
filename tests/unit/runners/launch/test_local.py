"""A job on this machine is a forked process of this program."""

from pathlib import Path

from eval.core import child
from runners.launch.job import Job
from runners.launch.local import Local
from runners.run.run_dir import RunDir
from tests.support.processes import until


def test_a_job_is_this_program_with_its_output_in_the_logs_folder(tmp_path: Path) -> None:
    launcher, run = Local(tmp_path / "logs"), RunDir(tmp_path / "nowhere")
    good, bad = (
        launcher.start(Job("the good", ("--version",), run, 0)),
        launcher.start(Job("bad", ("show", "x"), run, 0)),
    )
    until(lambda: None not in (good.poll(), bad.poll()), 60)
    assert (good.poll(), bad.poll()) == (0, 2)
    assert good.log == tmp_path / "logs" / "the_good.log"
    assert good.log.read_text().startswith("vlm-posttrain-bench ")
    assert child.take_word(bad.log) == "x is not a run: it has no readable run.json; choose another folder"
