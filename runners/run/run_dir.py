"""The run directory: the only interface between training, evaluation and report."""

import contextlib
import importlib.metadata
import os
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from eval.core import files
from eval.core.differences import differences
from eval.core.errors import UserError
from runners.run import config, lock
from runners.run.config import Settings

Status = Literal["running", "done", "failed", "interrupted"]
# What a start that was killed may leave before run.json says that there is a run.
BEGINNING = ("lock.json", "run.json", "settings.yaml", ".run.json.tmp", ".settings.yaml.tmp")
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
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
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
        if info is None or "status" not in info:
            raise UserError(f"{self.path} is not a run: it has no readable run.json; choose another folder")
        return info

    def status(self) -> Status:
        """As run.json has it, but that nobody is left who would say that a killed run is not running."""
        status: Status = self.info()["status"]
        return "interrupted" if status == "running" and lock.holder(self.lock) is None else status

    def last_step(self) -> int:
        """The last step whose metrics are written, 0 before the first."""
        return max((int(row.get("step", 0)) for row in files.read_lines(self.metrics).rows), default=0)

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
            found: Status = self.info()["status"]
            return found
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

    def forget_if_only_begun(self) -> bool:
        """Whether nothing but a start is there, which is then removed: a mistake leaves no run behind."""
        names = {p.name for p in self.path.iterdir() if not p.name.startswith(f".{self.lock.name}.")}
        if not names <= {*BEGINNING}:
            return False
        for name in names - {self.lock.name}:
            (self.path / name).unlink()
        return True

    def _only_begun(self) -> bool:
        """Whether the folder holds nothing but what a start leaves that was killed before run.json was whole."""
        names = {p.name for p in self.path.iterdir() if not p.name.startswith(f".{self.lock.name}.")}
        if not names <= {*BEGINNING} or files.read_object(self.path / "run.json") is not None:
            return False
        if "settings.yaml" in names:
            self.settings()  # raises UserError where they are not ours
        return True

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that was written to its end (a killed run may leave a half one)."""
        complete = [p.parent for p in self.checkpoints.glob("checkpoint-*/complete.json")]
        return max(complete, key=lambda p: int(p.name.split("-")[1]), default=None)

    def evaluable(self) -> dict[int, Path]:
        """The weights that can be evaluated, by step: those kept for it, and the checkpoints that are left."""
        kept = {int(p.name.removeprefix("step")): p for p in self.path.glob("weights/step*") if p.name[4:].isdecimal()}
        whole = {checkpoint_step(p.parent): p.parent for p in self.checkpoints.glob("checkpoint-*/complete.json")}
        return dict(sorted((kept | whole).items()))

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

    def truncate_metrics(self, step: int) -> None:
        """Forget the steps after a checkpoint: they are about to be run again."""
        if self.metrics.exists():
            rows = files.read_lines(self.metrics).rows
            files.write(self.metrics, files.lines_text(row for row in rows if row.get("step", step + 1) <= step))


def checkpoint_step(folder: Path) -> int:
    """The step of ours at which a checkpoint was written; the trainer's own count is in its name."""
    step = (files.read_object(folder / "complete.json") or {}).get("step")
    return int(folder.name.split("-")[1]) if step is None else int(step)


def run_name(method: str) -> str:
    """The folder of a method: its name with the variant, or the class of an outside file in lower case."""
    return method.rpartition(":")[2].lower()


def run_of(out: Path, suite: str, method: str, seed: int) -> RunDir:
    """Where the run of a method and a seed lies, whether it is there or not."""
    return RunDir(out / suite / run_name(method) / f"seed{seed}")


def find_runs(root: Path) -> list[RunDir]:
    return [RunDir(p.parent) for p in sorted(root.glob("**/run.json")) if "checkpoints" not in p.parts]
