"""The run directory: the only interface between training, evaluation and report."""

import importlib.metadata
import os
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

from eval.core import files, manifest
from eval.core.differences import differences
from eval.core.errors import UserError
from runners.run import config, lock
from runners.run.config import Settings

Status = Literal["running", "done", "failed", "interrupted"]
# What a start that was killed may leave before run.json says that there is a run.
BEGINNING = ("lock.json", "run.json", "settings.yaml", ".run.json.tmp", ".settings.yaml.tmp")
# What a run has that has taken no step; what somebody else has put there is none of it.
NO_STEP = {*BEGINNING, "checkpoints", "completions", "tokens", "prompts.txt", "processes.log", "processes.error"}
BASE_RUN = "base"  # the folder of the untrained model's row
# A model as it is loaded: its weights or its adapter, and what names and reads them.
WEIGHTS = (
    *("model*.safetensors", "model.safetensors.index.json", "adapter_*", "config.json", "generation_config.json"),
    *("tokenizer*", "special_tokens_map.json", "vocab.json", "merges.txt", "chat_template*", "*processor_config.json"),
    "README.md",
)
VERSIONS = ("torch", "transformers", "trl", "accelerate", "lm-eval", "peft", "datasets")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Of what is installed: training needs no lm-eval."""
    found = {"python": sys.version.split()[0]}
    for name in VERSIONS:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@dataclass(frozen=True)
class RunDir:
    """runs/<suite>/<method>/seed<k>, opened or not yet there."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def lock(self) -> Path:
        """Who trains the run or evaluates it."""
        return self.path / "lock.json"

    def info(self) -> dict[str, Any]:
        info = files.read_object(self.path / "run.json")
        if info is None or info.get("status") not in get_args(Status):
            raise UserError(f"{self.path} is not a run: it has no readable run.json; choose another folder")
        return info

    def discard(self) -> bool:
        """Removes a run that has not taken a step, so that a refused command leaves nothing behind. False: it has, or
        something is there that no run without a step has."""
        info = files.read_object(self.path / "run.json") or {}
        names = {re.sub(r"^processes-\d+", "processes", p.name) for p in self.path.iterdir()}
        written = {p for folder in ("checkpoints", "completions", "tokens") for p in self.path.glob(f"{folder}/*")}
        first = {*self.path.glob("*/step00001*.parquet")}  # is recorded before a method's hooks see it
        if info.get("status") != "running" or not written <= first or not names <= NO_STEP:
            return False
        shutil.rmtree(self.path, ignore_errors=True)
        for folder in self.path.parents[:3]:  # its method, suite and all suites
            with suppress(OSError):  # there are others
                folder.rmdir()
        return True

    def status(self) -> Status:
        """As run.json has it, but that nobody is left who would say that a killed run is not running."""
        status = cast(Status, self.info()["status"])
        return "interrupted" if status == "running" and lock.holder(self.lock) is None else status

    def last_step(self) -> int:
        """The last step whose metrics are written, 0 before the first."""
        steps = (row.get("step") for row in files.read_lines(self.metrics).rows)
        return max((step for step in steps if isinstance(step, int)), default=0)

    def last_metrics(self) -> dict[str, Any]:
        """The figures of the last whole line; none before the first."""
        return (files.read_lines(self.metrics).rows or [{}])[-1]

    def results(self) -> list[Path]:
        """Of every bench that is evaluated, at whatever step."""
        return sorted(self.path.glob("eval/[0-9]*/*/result.json"))

    def settings(self) -> Settings:
        return config.load(self.path / "settings.yaml")

    def update(self, **fields: Any) -> None:
        files.write_json(self.path / "run.json", {**self.info(), **fields}, durable=True)

    def open(self, settings: Settings, label: str, suite: str, model: str) -> Status | Literal["new"]:
        """Create the run, or check that the one on disk has the same settings, or fewer steps: it is then to go on.
        Returns what was found."""
        if (self.path / "run.json").exists() and not self._only_begun():
            there = self.settings()
            changed = differences(there.model_dump(mode="json"), settings.model_dump(mode="json"))
            if self._extends(there, settings):
                files.write(self.path / "settings.yaml", config.dump(settings), durable=True)
                self.update(status="interrupted", steps=settings.train.steps, finished=None)
            elif changed:
                raise UserError(
                    f"{self.path} was made with other settings ({'; '.join(changed[:3])}): "
                    "use another --suite, or delete the run"
                )
            return cast(Status, self.info()["status"])
        if self.path.exists() and not self._only_begun():
            raise UserError(f"{self.path} is not empty and not a run: choose another --suite or --out")
        files.write(self.path / "settings.yaml", config.dump(settings), durable=True)
        info = {
            "method": settings.method,
            "label": label,
            "seed": settings.seed,
            "suite": suite,
            "preset": settings.preset,
            "status": "running",
            "steps_done": 0,
            "steps": settings.train.steps,
            "model": model,
            "data": settings.data.source,
            "versions": versions(),
            "command": " ".join(["cli.py", *sys.argv[1:]]),
            "started": now(),
            "finished": None,
            "reason": None,
        }
        files.write_json(self.path / "run.json", info, durable=True)
        return "new"

    def _extends(self, there: Settings, asked: Settings) -> bool:
        """Whether `asked` is what is there with more steps, and the steps there are those that it would have made: a
        schedule that ends with the run has gone down already."""
        more, constant = asked.train.steps > there.train.steps, there.train.schedule == "constant"
        longer = there.train.model_copy(update={"steps": asked.train.steps})
        return more and constant and there.model_copy(update={"train": longer}) == asked

    def _only_begun(self) -> bool:
        """Whether the folder holds nothing but what a start leaves that was killed before run.json was whole."""
        names = {p.name for p in self.path.iterdir() if not p.name.startswith(f".{self.lock.name}.")}
        if not names <= {*BEGINNING} or files.read_object(self.path / "run.json") is not None:
            return False
        if "settings.yaml" in names:
            self.settings()  # raises UserError where they are not ours
        return True

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that is whole; a line says which was and is no more. A killed run may leave a half."""
        for folder in self._sealed_checkpoints():
            if (fault := manifest.fault(folder)) is None:
                return folder
            print(f"{folder} is damaged ({fault}): it is passed over for the one before")
        return None

    def trained(self) -> tuple[int, Path | None]:
        """The last step whose weights are there, and these; 0 and None for a run without steps alone, whose model is as
        it was. Raises UserError where there are none, so that nobody takes the untrained model for the trained one."""
        found, checkpoint = self._kept(), self.last_checkpoint()
        if checkpoint:
            found[_step(checkpoint)] = checkpoint
        if found:
            return max(found.items())
        if (info := self.info())["steps"] > 0:
            gone = "they are gone: put them back, or train it again under another --suite"
            raise UserError(f"{self.path} has no weights: {gone if info['status'] == 'done' else 'train it first'}")
        return 0, None

    def evaluable(self) -> dict[int, Path]:
        """The weights that can be evaluated, by step: those kept for it, and the checkpoints that are left."""
        whole = {_step(folder): folder for folder in self._sealed_checkpoints() if not manifest.fault(folder)}
        return dict(sorted((self._kept() | whole).items()))

    def _kept(self) -> dict[int, Path]:
        return {int(p.name[4:]): p for p in self.path.glob("weights/step*") if p.name[4:].isdecimal()}

    def keep(self, checkpoint: Path, step: int) -> None:
        """Keep a checkpoint's model, without what only a resumption needs, for as long as the run is there.

        Hard links where the disk has them: nothing is stored twice while the checkpoint stands.
        """
        with files.replaced_folder(self.path / "weights" / f"step{step}") as half:
            for pattern in WEIGHTS:
                for file in checkpoint.glob(pattern):
                    try:
                        os.link(file, half / file.name)
                    except OSError:
                        shutil.copy2(file, half / file.name)

    def rotate(self) -> None:
        """Leave the newest sealed checkpoint and the one before, should it be damaged, and whatever else lies there."""
        for folder in self._sealed_checkpoints()[2:]:
            (folder / manifest.NAME).unlink()  # first: a deletion that is cut short leaves none that counts as whole
            shutil.rmtree(folder)

    def go_back(self) -> Path | None:
        """The checkpoint that training goes on from: the newest whole one all of whose steps are recorded.

        What a kill has left half written is swept up. A checkpoint that was whole once and is of no use now may be
        somebody's only copy (damaged, of an earlier version, of a run whose metrics were removed): it is set aside with
        the metrics, and a line says so.
        """
        kept = self._sealed_checkpoints()
        while kept and (fault := self._useless(kept[0])):
            aside = self._set_aside(kept.pop(0))
            print(
                f"{aside.name} is of no use ({fault}): going on from {kept[0].name if kept else 'the first step'}; "
                f"it is kept as {aside}"
            )
        step = manifest.sealed(kept[0])["step"] if kept else 0
        for folder in self.checkpoints.glob("checkpoint-*"):
            if not (folder / manifest.NAME).exists() and _number(folder) >= 0:
                shutil.rmtree(folder)
        for half in (half for where in (".", "completions", "tokens") for half in self.path.glob(f"{where}/.*.tmp")):
            half.unlink()
        if self.metrics.exists():
            rows = files.read_lines(self.metrics).rows[:step]
            files.write(self.metrics, files.lines_text(rows))
        return kept[0] if kept else None

    def _useless(self, checkpoint: Path) -> str | None:
        """Why training cannot go on from a checkpoint; None where it can."""
        step = manifest.sealed(checkpoint).get("step")
        if fault := manifest.fault(checkpoint):
            return fault
        return self.unrecorded(step) if isinstance(step, int) else f"{manifest.NAME} names no step"

    def _set_aside(self, checkpoint: Path) -> Path:
        """Moves a checkpoint out of the way, and copies the metrics of the steps that are about to be run again."""
        aside, number = self.checkpoints / "aside" / checkpoint.name, 2
        while aside.exists():
            aside, number = aside.with_name(f"{checkpoint.name}-{number}"), number + 1
        with files.told(aside):
            aside.parent.mkdir(exist_ok=True)
            if self.metrics.exists():
                shutil.copy2(self.metrics, aside.with_name(f"{aside.name}.metrics.jsonl"))
            os.replace(checkpoint, aside)
        return aside

    def unrecorded(self, step: int) -> str | None:
        """What is missing of the metrics and rollouts of all steps up to `step`; None for nothing."""
        recorded = [row.get("step") for row in files.read_lines(self.metrics).rows[:step]]
        if recorded != [*range(1, step + 1)]:
            return f"{self.metrics} lacks some of the first {step} steps"
        rollouts = [self.path / "completions" / f"step{number:05d}.parquet" for number in recorded]
        return next((f"{file} is missing" for file in rollouts if not file.exists()), None)

    def _sealed_checkpoints(self) -> list[Path]:
        """Newest first."""
        found = [p.parent for p in self.checkpoints.glob(f"checkpoint-*/{manifest.NAME}") if _number(p.parent) >= 0]
        return sorted(found, key=_number, reverse=True)


def _number(checkpoint: Path) -> int:
    """The optimizer step of a checkpoint, -1 for a folder that is called otherwise."""
    named = re.fullmatch(r"checkpoint-(\d+)", checkpoint.name)
    return int(named[1]) if named else -1


def _step(folder: Path) -> int:
    """The step of ours at which a checkpoint was written; the trainer's own count is in its name."""
    step = manifest.sealed(folder).get("step")
    return int(folder.name.split("-")[1]) if step is None else int(step)


def run_name(method: str) -> str:
    """The folder of a method: its name with the variant, or the class of an outside file in lower case."""
    return method.rpartition(":")[2].lower()


def run_of(out: Path, suite: str, method: str, seed: int) -> RunDir:
    """Where the run of a method and a seed lies, whether it is there or not."""
    return RunDir(out / suite / run_name(method) / f"seed{seed}")


def find_runs(root: Path) -> list[RunDir]:
    return [RunDir(p.parent) for p in sorted(root.glob("**/run.json")) if "checkpoints" not in p.parts]
