"""Kills commands at many moments, has the same command go on, and compares all files with an unbroken run's.

`python -m tests.faults.kills --kills 100 [SCENARIO...]`. A kill comes before the n-th file operation of the command's
process (a write, a rename, a removal; those of the libraries that Python knows of as well) or, where the work is done
by other processes, at a moment.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from methods import METHODS
from tests.support.warm import context, started

OPERATIONS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree")
TINY = ("steps=3", "prompts=1", "generations=4", "micro_batch=4", "max_completion_tokens=4", "checkpoint_every=1")
SETS = tuple(word for pair in TINY for word in ("--set", f"train.{pair}"))
TRAIN = ("train", "--suite", "s", *SETS, "--method")
EVAL = ("--set", "eval.limit=2", "--set", "eval.max_new_tokens=4")


class Scenario(NamedTuple):
    """A command, what must have run before it, and whether its own process does the work."""

    words: tuple[str, ...]
    before: tuple[str, ...] = ()
    alone: bool = True


SWEEP = ("sweep", "--methods", "grpo", "--suite", "s", *SETS, *EVAL, "--set", "eval.benches=[mmmu]")
TWO = ("--set", "train.processes=2", "--set", "train.micro_batch=2")
SCENARIOS = {
    **{f"train-{method}": Scenario((*TRAIN, method)) for method in METHODS},
    "train-lora": Scenario((*TRAIN, "sdpo", "--set", "model.lora={rank: 2, alpha: 4}")),
    "train-two-processes": Scenario((*TRAIN, "grpo", *TWO), alone=False),
    "sweep": Scenario((*SWEEP, "--jobs", "2"), alone=False),
    "eval": Scenario(("eval", "--model", "embedded", "--bench", "mmmu,zerobench", "--out", "results", *EVAL)),
    "filter": Scenario(("data", "filter", "--data", "synthetic", "--limit", "6", "--k", "2", "--max-new-tokens", "4",
                        "--keep-max-pass-rate", "1", "--out", "kept.parquet")),
    "report": Scenario(("report", "runs/s"), before=SWEEP),
}  # fmt: skip


class Outcome(NamedTuple):
    """How often a scenario was killed, and which files were not as in the unbroken run."""

    kills: int
    unequal: list[str]


def die_at(number: int, told: Path) -> None:
    """In the command's process: runs it and ends it before its `number`-th file operation below the folder it works in.
    Without such a number, tells how many there were."""
    here, count = str(Path.cwd()), 0

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if (writes or event in OPERATIONS) and os.path.abspath(os.fsdecode(args[0])).startswith(here):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    def seen(event: str, args: tuple[Any, ...]) -> None:
        try:
            watch(event, args)
        except (TypeError, ValueError):  # a descriptor and no path
            return

    sys.addaudithook(seen)
    from cli import main

    try:
        main()
    finally:
        told.write_text(str(count))


def _run(folder: Path, words: tuple[str, ...], number: int = 0, after_s: float | None = None) -> tuple[int, int]:
    """Exit code, and file operations of a command that ended by itself. `after_s`: killed then."""
    with tempfile.TemporaryDirectory() as said:
        told = Path(said) / "operations"
        process = started(folder, Path(said), *words, main=partial(die_at, number, told))
        process.join(after_s)
        if process.is_alive():
            process.kill()
            process.join()
        if process.exitcode not in (0, -signal.SIGKILL):
            raise RuntimeError(f"{words}: exit {process.exitcode}: {(Path(said) / 'stderr').read_text()[-2000:]}")
        return process.exitcode, int(told.read_text()) if told.exists() else 0


def chains(scenario: Scenario, kills: int, folder: Path, rng: random.Random) -> Iterator[Outcome]:
    """Unbroken once; then chains of up to five kills each, and each to its end."""
    prepared, whole = folder / "prepared", folder / "whole"
    prepared.mkdir()
    if scenario.before:
        _run(prepared, scenario.before)
    shutil.copytree(prepared, whole)
    begun = time.monotonic()
    operations, seconds = _run(whole, scenario.words)[1], time.monotonic() - begun
    expected, done, chain = contents(whole), 0, 0
    while done < kills and (chain := chain + 1) <= kills:  # one may have been quicker
        broken = folder / f"broken{chain}"
        shutil.copytree(prepared, broken)
        before = done
        for _ in range(min(5, kills - done)):
            how: dict[str, Any] = {"number": rng.randint(1, operations)}
            code, _ = _run(
                broken, scenario.words, **how if scenario.alone else {"after_s": rng.uniform(0.2, 0.8) * seconds}
            )
            done += code != 0
        time.sleep(0 if scenario.alone else 2)  # until the children of a killed parent have seen it
        _run(broken, scenario.words)
        found = contents(broken)
        yield Outcome(done - before, sorted(n for n in expected.keys() | found if expected.get(n) != found.get(n)))


def contents(folder: Path) -> dict[str, Any]:
    """Every file below a folder, leftovers included, but for what tells the time or is a process's chatter."""
    return {
        str(p.relative_to(folder)): _read(p) for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".log"
    }


def _read(file: Path) -> Any:
    if file.name == "trainer_state.json":
        return "times"
    if file.suffix not in (".json", ".jsonl"):
        return file.read_bytes()
    found = (
        [json.loads(line) for line in file.read_text().splitlines()]
        if file.suffix == ".jsonl"
        else json.loads(file.read_text())
    )
    return _timeless(found)


TIMES = ("seconds", "started", "finished", "trainer_state.json", "command")


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items() if key not in TIMES}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


def main(say: Callable[..., None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=[*SCENARIOS])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    total, unequal = 0, 0
    for name in asked.scenarios:
        with tempfile.TemporaryDirectory() as folder:
            each = max(1, round(asked.kills / len(asked.scenarios)))
            for outcome in chains(SCENARIOS[name], each, Path(folder), random.Random(f"{name} {asked.seed}")):
                total, unequal = total + outcome.kills, unequal + bool(outcome.unequal)
                say(
                    f"{name}: {outcome.kills} kills, {'equal' if not outcome.unequal else outcome.unequal[:5]}",
                    flush=True,
                )
    say(f"{total} kills, {unequal} chains that ended otherwise")
    sys.exit(bool(unequal))


if __name__ == "__main__":
    context.set_forkserver_preload(
        ["transformers.trainer", "peft", "datasets", "lm_eval.evaluator", "lm_eval.models.hf_vlms"]
    )
    main()
