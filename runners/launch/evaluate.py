"""Evaluating a run's last checkpoint into the run's own directory, or any model into a folder of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eval.core import files
from eval.core.errors import UserError
from eval.engines.load import loading
from eval.settings import EvalSettings, evaluated_steps
from runners.launch.card import write_card
from runners.run import lock
from runners.run.model import loaders, locate
from runners.run.run_dir import RunDir


def results_of(run: RunDir) -> Path:
    """The folder of the results of a run's last weights, or of its model as it was where it has no steps."""
    step, _ = run.trained()
    return run.path / "eval" / str(step)


def evaluate_run(run: RunDir, settings: EvalSettings, skip_bad: bool = False, at: str | None = None) -> Path:
    """Evaluate a run's last checkpoint, or its model as it was where it has no steps; returns its results' folder.

    `at`: steps with commas, or `all` whose weights are there; without it the last, and those that it kept for this.

    Raises UserError where another process trains or evaluates the run.
    """
    with lock.held(run.lock):
        try:
            last = results_of(run)
        except UserError:
            if at is None and (before := _of_deleted_weights(run, settings)):
                print(f"{run.path} was evaluated before its weights were deleted: nothing to do")
                return before
            raise
        found: dict[int, Path | None] = {**run.evaluable()} or {0: None}
        steps = asked_steps(run, sorted(found), at, int(last.name), settings.every)
        for step in steps:
            if len(steps) > 1:
                print(f"step {step}:")
            results = run.path / "eval" / str(step)
            with whole(found[step], run.info()["model"]) as model:
                _evaluate(model, settings, results, skip_bad, step)
            _write_cards(run, step)
        return last


def regrade_run(run: RunDir, settings: EvalSettings, at: str | None = None) -> None:
    """Grade a run's stored replies again, of every evaluated step or of those in `at`; no weights need to be there."""
    from eval.pipeline.regrade import regrade

    with lock.held(run.lock):
        found = sorted(int(folder.name) for folder in run.path.glob("eval/*") if folder.name.isdecimal())
        steps = _named(run, found, at or "all", "evaluation", "evaluate it (cli.py eval --run)") if found else []
        if not steps:
            raise UserError(f"{run.path} is not evaluated: cli.py eval --run {run.path}")
        for step in steps:
            if len(steps) > 1:
                print(f"step {step}:")
            regrade(run.path / "eval" / str(step), settings.benches, settings.data)
            _write_cards(run, step)


def _write_cards(run: RunDir, step: int) -> None:
    for folder in (run.path / "eval" / str(step), run.path / "weights" / f"step{step}"):  # a checkpoint is sealed
        if folder.is_dir():
            write_card(run, folder, step)


def _of_deleted_weights(run: RunDir, settings: EvalSettings) -> Path | None:
    """The results of a finished run without weights, where all that is asked for is there; None otherwise."""
    from eval.pipeline.evaluate import is_evaluated

    info = run.info()
    if info["status"] != "done":
        return None
    folders = [run.path / "eval" / str(step) for step in evaluated_steps(info["steps"], settings.every)]
    return folders[-1] if all(is_evaluated(folder, settings) for folder in folders) else None


def _evaluate(model: str, settings: EvalSettings, results: Path, skip_bad: bool, step: int | None = None) -> None:
    from eval.pipeline.evaluate import evaluate
    from eval.pipeline.lm_tasks import evaluate_tasks

    if settings.benches:
        evaluate(model, settings, results, step=step, skip_bad=skip_bad)
    if settings.tasks:
        evaluate_tasks(model, settings, results)


def asked_steps(run: RunDir, there: list[int], at: str | None, last: int, every: int | None) -> list[int]:
    """The steps of `at`; where it says nothing each `every`-th, not what else there is to go on from, and the last."""
    if at is None:
        return [step for step in there if step in evaluated_steps(last, every)]
    return _named(run, there, at, "weights", "train with --set eval.every=N")


def _named(run: RunDir, there: list[int], at: str, what: str, mend: str) -> list[int]:
    """The steps that `at` names, of those of which there is `what`."""
    if at == "all":
        return there
    try:
        steps = sorted({int(step) for step in at.split(",")})
    except ValueError:
        raise UserError(f"--at {at!r}: write `all`, or steps such as 10,20") from None
    if lacking := [step for step in steps if step not in there]:
        kept = ", ".join(map(str, there))
        raise UserError(f"{run.path} has no {what} of step {lacking[0]}, only of {kept}: {mend}")
    return steps


def model_results(model: str, settings: EvalSettings) -> Path:
    """The folder of a model's results where the user names none."""
    return Path("runs") / "eval" / f"{Path(model).name}-{Path(settings.data).stem}-{settings.engine}"


def evaluate_model(model: str, settings: EvalSettings, folder: Path, skip_bad: bool = False) -> Path:
    """Evaluate a checkpoint folder, a hub id or `embedded` into `folder`."""
    _evaluate(locate(model), settings, folder, skip_bad)
    return folder


@contextmanager
def whole(checkpoint: Path | None, base: str) -> Iterator[str]:
    """The folder of a checkpoint's whole model. An adapter is merged beside itself: not every engine loads one."""
    if checkpoint is None or not (checkpoint / "adapter_config.json").exists():
        yield str(checkpoint) if checkpoint else locate(base)
        return
    from peft import PeftModel

    merged = checkpoint / "merged"
    if not (merged / "config.json").exists():
        kind, processor = loaders(locate(base))
        with loading(str(checkpoint)):
            model = kind.from_pretrained(locate(base), dtype="auto")
            whole = PeftModel.from_pretrained(model, checkpoint).merge_and_unload()
        with files.replaced_folder(merged) as half:
            whole.save_pretrained(half)
            processor.from_pretrained(locate(base)).save_pretrained(half)
    yield str(merged)
