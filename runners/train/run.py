"""Training one run: from settings to a run directory, resumable by the same call."""

import contextlib
import shutil
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from transformers import PrinterCallback, TrainerCallback

from eval.core import manifest
from eval.core.errors import UserError, one_line
from eval.engines.chat import require_chat
from eval.engines.load import fitting_threads
from eval.engines.requests import vision_ids
from eval.pipeline.results import model_id
from methods import Method
from methods.checked import HookError, checked
from runners.data.source import data_hash
from runners.data.training import training_rows
from runners.data.treatment import treated
from runners.forward.packing import layout_words
from runners.rollout.vllm import engine_of
from runners.run.config import Settings
from runners.run.interrupt import Interrupted
from runners.run.metrics import declared
from runners.run.model import adapters, load, locate, processor_of
from runners.run.open import opened
from runners.run.registry import code_hash
from runners.run.run_dir import RunDir, now
from runners.run.world import rank
from runners.train.callbacks import RESERVED, RunCallback
from runners.train.recorder import Recorder
from runners.train.teacher import external_teacher, needs_external
from runners.train.trainer import BenchTrainer
from runners.train.trl_config import REWARDS, trl_config


def train(settings: Settings, run: RunDir, suite: str, callbacks: list[TrainerCallback] | None = None) -> bool:
    """Train a run to its end, from its last whole checkpoint if there is one. False: there was nothing to do.

    Raises UserError where another process trains it, and where a number is not finite.
    """
    with opened(settings, run, suite) as (settings, method, found):
        if found == "done":
            return False
        try:
            contents = _contents(settings, method, run)
        except UserError:
            if rank() == 0 and not run.info().get("contents"):  # data that are not there leave nothing behind
                run.discard()
            raise
        _update(run, status="running", reason=None, metrics=declared(method))
        begun = False
        try:
            with fitting_threads(locate(settings.model.path)):
                trainer = build_trainer(settings, method, run, callbacks or [])
                begun = True
                _update(run, contents=contents)  # of a model and data that could be read
                _train_to_end(trainer, run, settings.train.steps)
        except (KeyboardInterrupt, Interrupted):
            _ended(run, status="interrupted")
            raise
        except BaseException as error:
            refused = isinstance(error, HookError) or (isinstance(error, UserError) and not begun)
            if not (refused and rank() == 0 and run.discard()):
                _ended(run, status="failed", reason=one_line(error))
            if isinstance(error, HookError):
                raise UserError(str(error)) from error
            if isinstance(error, OSError | SafetensorError | RuntimeError) and _disk_full(run, error):
                raise UserError(f"the disk is full at {run.path}: free space and give the same command again") from None
            raise
        _update(run, status="done", steps_done=settings.train.steps, finished=now())
        return True


def _contents(settings: Settings, method: Method, run: RunDir) -> dict[str, str]:
    """Hashes of what a run is made from. Raises UserError where a run that goes on was begun with something else."""
    found = {
        "data": data_hash(settings),
        "model": model_id(locate(settings.model.path)),
        "method": code_hash(type(method)),
    }
    if needs_external(method) and settings.model.teacher:
        found["teacher"] = model_id(locate(settings.model.teacher))
    for what, begun in (run.info().get("contents") or {}).items():
        if begun != found.get(what):
            raise UserError(
                f"{run.path} was begun with another {what} than is there now ({begun}, now {found.get(what)}): "
                "put it back, use another --suite, or delete the run"
            )
    return found


def _update(run: RunDir, **fields: Any) -> None:
    if rank() == 0:
        run.update(**fields)


def _disk_full(run: RunDir, error: Exception) -> bool:
    """torch's writer reports a full disk as a mismatch of positions, so the disk itself is asked as well."""
    return "No space left" in str(error) or shutil.disk_usage(run.path).free < 1 << 20


def _ended(run: RunDir, **how: Any) -> None:
    with contextlib.suppress(UserError):  # on a full disk the status stays `running`, and the error is told anyway
        _update(run, **how)


def _train_to_end(trainer: BenchTrainer, run: RunDir, steps: int) -> None:
    """Raises UserError where something has been removed meanwhile of what the run has written."""
    checkpoint: Path | None
    [checkpoint] = broadcast_object_list([run.go_back() if rank() == 0 else None])
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if (made := trainer.state.global_step) < trainer.args.max_steps:
        raise UserError(
            f"training ended after {made} of {trainer.args.max_steps} updates, for want of rows: give more, or set "
            "train.prompts lower"
        )
    if trainer.use_vllm:  # or an evaluation in this process would find its memory taken
        trainer.vllm_generation.llm.llm_engine.engine_core.shutdown()
    last = run.checkpoints / f"checkpoint-{trainer.state.global_step}"
    if rank() == 0 and (lacking := run.unrecorded(steps) or (manifest.fault(last) and f"{last} is damaged")):
        raise UserError(f"{lacking}: removed or changed while the run went on; the same command trains what is lost")


def build_trainer(settings: Settings, method: Method, run: RunDir, callbacks: list[TrainerCallback]) -> BenchTrainer:
    model, processor = load(settings.model)
    require_chat(settings.model, processor, settings.model.path)
    banned = vision_ids(model.config)
    arguments = trl_config(settings, run, banned)
    rows = treated(training_rows(settings, processor), settings)
    # A process may have no gradient for the picture tower where another has one.
    arguments.ddp_find_unused_parameters = len({n > 0 for n in rows["pictures"]}) > 1
    with engine_of(settings) if settings.train.vllm else contextlib.nullcontext():
        trainer = BenchTrainer(
            model=model,
            processing_class=processor,
            args=arguments,
            reward_funcs=list(REWARDS[settings.train.reward]),
            train_dataset=rows,
            peft_config=adapters(settings.model.lora, model) if settings.model.lora else None,
            method=checked(method, RESERVED),
            recorder=Recorder(run, processor, [*method.teachers], settings),
            banned=banned,
            settings=settings,
            external=external_teacher(settings.model, processor) if needs_external(method) else None,
        )
    if rank() == 0:
        print(layout_words(model, settings.train.shared_prefix))
    trainer.remove_callback(PrinterCallback)
    own = processor_of(settings.model.path)
    updates, every = settings.train.updates, settings.eval.every
    trainer.add_callback(RunCallback(run, trainer.teachers, trainer.credits, own, updates, every))
    for callback in callbacks:
        trainer.add_callback(callback)
    return trainer
