"""The run directory: the only interface between training, evaluation and report. Every write is atomic."""

import importlib.metadata
import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from eval.core.errors import UserError
from runners.run import config
from runners.run.config import Settings

Status = Literal["running", "done", "failed"]
BASE_RUN = "base"  # the folder of the untrained model's row
VERSIONS = ("torch", "transformers", "trl", "accelerate", "lm-eval", "peft", "datasets")


def write_text(path: Path, text: str) -> None:
    """Write through a temporary name, so that a reader or a killed writer never leaves half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror}; free space or choose another --out") from None


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    return {"python": sys.version.split()[0], **{name: importlib.metadata.version(name) for name in VERSIONS}}


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

    def info(self) -> dict[str, Any]:
        file = self.path / "run.json"
        try:
            info = json.loads(file.read_text())
        except (OSError, ValueError):
            raise UserError(f"{self.path} is not a run: it has no readable run.json") from None
        if not isinstance(info, dict) or "status" not in info:
            raise UserError(f"{file} does not describe a run: choose another folder")
        return info

    def settings(self) -> Settings:
        return config.load(self.path / "settings.yaml")

    def update(self, **fields: Any) -> None:
        write_text(self.path / "run.json", json.dumps({**self.info(), **fields}, indent=1) + "\n")

    def open(self, settings: Settings, label: str, suite: str, model: str) -> Status | Literal["new"]:
        """Create the run, or check that the one on disk has the same settings. Returns what was found."""
        if (self.path / "run.json").exists():
            changed = config.differences(self.settings(), settings)
            if changed:
                raise UserError(
                    f"{self.path} was made with other settings ({'; '.join(changed[:3])}): "
                    "use another --suite, or delete the run"
                )
            found: Status = self.info()["status"]
            return found
        if self.path.exists() and any(self.path.iterdir()):
            raise UserError(f"{self.path} is not empty and not a run: choose another --suite or --out")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot create {self.path}: {error.strerror}; choose another --out") from None
        write_text(self.path / "settings.yaml", config.dump(settings))
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
        }
        write_text(self.path / "run.json", json.dumps(info, indent=1) + "\n")
        return "new"

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that was written to its end (a killed run may leave a half one)."""
        complete = [p.parent for p in self.checkpoints.glob("checkpoint-*/complete.json")]
        return max(complete, key=lambda p: int(p.name.split("-")[1]), default=None)

    def truncate_metrics(self, step: int) -> None:
        """Forget the steps after a checkpoint: they are about to be run again."""
        if self.metrics.exists():
            lines = self.metrics.read_text().splitlines()
            kept = [line for line in lines if _step_of(line) <= step]
            write_text(self.metrics, "".join(f"{line}\n" for line in kept))


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # the last line of a killed run may be torn


def run_name(method: str) -> str:
    """The folder of a method: its name with the variant, or the class of an outside file in lower case."""
    return method.rpartition(":")[2].lower()


def run_of(out: Path, suite: str, method: str, seed: int) -> RunDir:
    """Where the run of a method and a seed lies, whether it is there or not."""
    return RunDir(out / suite / run_name(method) / f"seed{seed}")


def find_runs(root: Path) -> list[RunDir]:
    return [RunDir(p.parent) for p in sorted(root.glob("**/run.json")) if "checkpoints" not in p.parts]
