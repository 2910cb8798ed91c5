"""Kills commands at many moments, has the same command go on, and compares all files with an unbroken run's.

`python -m tests.faults.kills --kills 100 [SCENARIO...]` goes on where the last one stopped: each chain of kills is a
line of results/kills.jsonl. A kill comes before the n-th file operation of the command's process (a write, a rename, a
removal; those of the libraries that Python knows of as well) or, where the work is done by other processes, at a
moment, to the command alone or to its whole group.
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
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from eval.core import files
from methods import SELF_CONTAINED
from runners.launch.local import PRELOADED
from tests.support.processes import alive, descendants, until
from tests.support.warm import context, started

ORPHANS_S = 30.0  # within which all that a command has started must have ended, once it was killed

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
    **{f"train-{method}": Scenario((*TRAIN, method)) for method in SELF_CONTAINED},
    "train-lora": Scenario((*TRAIN, "sdpo", "--set", "model.lora={rank: 2, alpha: 4}")),
    "train-two-processes": Scenario((*TRAIN, "grpo", *TWO), alone=False),
    "sweep": Scenario((*SWEEP, "--jobs", "2"), alone=False),
    "eval": Scenario(("eval", "--model", "embedded", "--bench", "mmmu,zerobench", "--out", "results", *EVAL)),
    "eval-two-workers": Scenario(("eval", "--model", "embedded", "--bench", "mmmu", "--out", "results", *EVAL,
                                  "--set", "eval.data_parallel=2"), alone=False),
    "filter": Scenario(("data", "filter", "--data", "synthetic", "--limit", "6", "--k", "2", "--max-new-tokens", "4",
                        "--keep-max-pass-rate", "1", "--out", "kept.parquet")),
    "report": Scenario(("report", "runs/s"), before=SWEEP),
}  # fmt: skip


class Whole(NamedTuple):
    """An unbroken run: the folder it began in, what it left, how many file operations and seconds it took."""

    prepared: Path
    files: dict[str, Any]
    operations: int
    seconds: float


class Outcome(NamedTuple):
    """How often a command was killed, and which files were not as in the unbroken run."""

    kills: int
    unequal: list[str]


def die_at(number: int, told: Path) -> None:
    """In the command's process: runs it and ends it before its `number`-th file operation below the folder it works in.
    Without such a number, tells how many there were."""
    os.setpgid(0, 0)  # so that a signal to its group spares ours
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


def _run(
    folder: Path, words: tuple[str, ...], number: int = 0, after_s: float | None = None, group: bool = False
) -> tuple[int, int]:
    """Exit code, and file operations of a command that ended by itself. `after_s`: killed then, alone or with its
    group."""
    with tempfile.TemporaryDirectory() as said:
        told = Path(said) / "operations"
        process = started(folder, Path(said), *words, main=partial(die_at, number, told))
        process.join(after_s)
        if process.is_alive():
            left = descendants(process.pid)
            (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
            process.join()
            until(lambda: not any(map(alive, left)), ORPHANS_S)
        if process.exitcode not in (0, -signal.SIGKILL):
            raise RuntimeError(f"{words}: exit {process.exitcode}: {(Path(said) / 'stderr').read_text()[-2000:]}")
        return process.exitcode, int(told.read_text()) if told.exists() else 0


def unbroken(scenario: Scenario, folder: Path) -> Whole:
    """Runs what goes before and the command itself, undisturbed."""
    prepared, whole = folder / "prepared", folder / "whole"
    prepared.mkdir()
    if scenario.before:
        _run(prepared, scenario.before)
    shutil.copytree(prepared, whole)
    begun = time.monotonic()
    operations = _run(whole, scenario.words)[1]
    return Whole(prepared, contents(whole), operations, time.monotonic() - begun)


def chain(scenario: Scenario, whole: Whole, broken: Path, rng: random.Random, kills: int = 5) -> Outcome:
    """Kills a command so often, the first time anywhere and then ever earlier, for it goes on, and has it end."""
    shutil.copytree(whole.prepared, broken)
    done = 0
    try:
        for i in range(kills):
            number = rng.randint(1, max(2, whole.operations >> i))
            moment, group = rng.uniform(0.1, 0.8) * whole.seconds, rng.random() < 0.5
            how: dict[str, Any] = {"number": number} if scenario.alone else {"after_s": moment, "group": group}
            done += _run(broken, scenario.words, **how)[0] != 0
        _run(broken, scenario.words)
    except (RuntimeError, AssertionError) as error:
        return Outcome(done, [str(error)])
    found = contents(broken)
    unequal = sorted(n for n in whole.files.keys() | found if whole.files.get(n) != found.get(n))
    if not unequal:
        shutil.rmtree(broken)
    return Outcome(done, unequal)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=[*SCENARIOS])
    parser.add_argument("--kills", type=int, default=100, help="of all scenarios together, those recorded included")
    parser.add_argument("--record", type=Path, default=Path("results/kills.jsonl"))
    parser.add_argument("--folder", type=Path, help="for what the commands write, kept where it is not equal")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="kills-"))
    wholes: dict[str, Whole] = {}
    while True:
        rows = [row for row in files.read_lines(asked.record).rows if row["scenario"] in asked.scenarios]
        if sum(row["kills"] for row in rows) >= asked.kills:
            break
        done = Counter(dict.fromkeys(asked.scenarios, 0))
        for row in rows:
            done[row["scenario"]] += row["kills"] or 1
        name = min(asked.scenarios, key=lambda name: done[name])
        if name not in wholes:
            (folder / name).mkdir(parents=True)
            wholes[name] = unbroken(SCENARIOS[name], folder / name)
        number = sum(row["scenario"] == name for row in rows)
        outcome = chain(
            SCENARIOS[name], wholes[name], folder / name / f"broken{number}", random.Random(f"{name} {number}")
        )
        row = {"scenario": name, **outcome._asdict(), "when": datetime.now(UTC).isoformat(timespec="seconds")}
        files.append_lines(asked.record, [row])
        print(json.dumps(row), flush=True)
    unequal = sum(bool(row["unequal"]) for row in rows)
    print(f"{sum(row['kills'] for row in rows)} kills in {len(rows)} chains, {unequal} of which ended otherwise")
    sys.exit(bool(unequal))


if __name__ == "__main__":
    context.set_forkserver_preload([*PRELOADED, "tests.support.preloaded"])
    main()
