"""Evaluating a run's last checkpoint into the run's own directory, or any model into a folder of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eval.core import files
from eval.core.errors import UserError
from eval.engines.load import loading
from eval.settings import EvalSettings
from runners.run import lock
from runners.run.model import loaders, locate
from runners.run.run_dir import RunDir


def results_of(run: RunDir, checkpoint: Path | None = None) -> Path:
    """The folder of a run's last checkpoint's results, or of its model as it was where it has no steps."""
    checkpoint = checkpoint or run.last_checkpoint()
    if checkpoint is None and run.info()["steps"] > 0:
        raise UserError(f"{run.path} has no finished checkpoint: train it first")
    return run.path / "eval" / (checkpoint.name.split("-")[1] if checkpoint else "0")


def evaluate_run(run: RunDir, settings: EvalSettings, skip_bad: bool = False) -> Path:
    """Evaluate a run's last checkpoint, or its model as it was where it has no steps; returns the results' folder.

    Raises UserError where another process trains or evaluates the run.
    """
    from eval.pipeline.evaluate import evaluate
    from eval.pipeline.lm_tasks import evaluate_tasks

    with lock.held(run.lock):
        checkpoint = run.last_checkpoint()
        folder = results_of(run, checkpoint)
        with whole(checkpoint, run.info()["model"]) as model:
            if settings.benches:
                evaluate(model, settings, folder, step=int(folder.name), skip_bad=skip_bad)
            if settings.tasks:
                evaluate_tasks(model, settings, folder)
        return folder


def model_results(model: str, settings: EvalSettings) -> Path:
    """The folder of a model's results where the user names none."""
    return Path("runs") / "eval" / f"{Path(model).name}-{Path(settings.data).stem}-{settings.engine}"


def evaluate_model(model: str, settings: EvalSettings, folder: Path, skip_bad: bool = False) -> Path:
    """Evaluate a checkpoint folder, a hub id or `embedded` into `folder`."""
    from eval.pipeline.evaluate import evaluate
    from eval.pipeline.lm_tasks import evaluate_tasks

    if settings.benches:
        evaluate(locate(model), settings, folder, skip_bad=skip_bad)
    if settings.tasks:
        evaluate_tasks(locate(model), settings, folder)
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
