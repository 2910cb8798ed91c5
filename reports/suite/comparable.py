"""What may not be compared (an error) and what a reader must know before comparing (warnings)."""

import json
from typing import Any

import pandas as pd

from eval.benches import BENCHES
from eval.core.differences import flat
from eval.core.errors import UserError
from reports.suite import paper
from reports.suite.read import Run, Suite
from reports.suite.records import Result
from reports.suite.rows import trained_runs

# Recorded beside the generation settings, but the same score in expectation: another draw, or another machine and loop.
NO_SETTING = ("seed", "batch_size", "device", "decoding")
LAST = 10  # steps that are looked at for what a run has come to
HALF, MOST = 0.5, 0.9


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys and printable values."""
    found = flat(tree, prefix).items()
    return {key: value if isinstance(value, str) else json.dumps(value, default=str) for key, value in found}


def _grading(result: Result) -> dict[str, str]:
    """Everything that must agree before two scores of one bench stand in one column."""
    generation = {k: v for k, v in result.generation.items() if k not in NO_SETTING}
    return {
        "edition": result.edition,
        "rule": result.rule,
        "task_version": result.task_version,
        "grader_version": result.grader_version,
        "data": result.data_id,
        "n": str(result.n),
        "unit": result.unit,
        **flatten(generation, "generation."),
    }


def require_comparable(runs: tuple[Run, ...]) -> None:
    """Raises UserError naming bench, field, values and runs where one bench was graded in two ways."""
    for bench in BENCHES:
        graded = {run.name: _grading(run.results[bench]) for run in runs if bench in run.results}
        for field in sorted({key for grading in graded.values() for key in grading}):
            runs_of: dict[str, list[str]] = {}
            for name, grading in graded.items():
                runs_of.setdefault(grading.get(field, "(not recorded)"), []).append(name)
            if len(runs_of) > 1:
                sides = "; ".join(f"{value} in {', '.join(names)}" for value, names in runs_of.items())
                raise UserError(
                    f"{BENCHES[bench].label} was not evaluated alike, {field} is {sides}: "
                    "evaluate these runs again with the same settings (cli.py eval), or move them to another suite"
                )


def warnings(suite: Suite) -> list[str]:
    """One sentence a thing that a reader must know before comparing rows."""
    trained = trained_runs(suite)
    notes = _missing_rows(suite) + list(suite.problems)
    for run in suite.runs:
        notes += _run_notes(run)
    notes += [note for run in suite.runs for note in training_notes(run, suite.metrics)]
    notes += _unequal("The number of training steps", {run.name: run.steps for run in trained})
    notes += _unequal("The evaluated step", {run.name: run.eval_step for run in trained if run.results})
    notes += _other_base(suite)
    notes += _uneven_seeds(suite)
    editions = sorted({r.edition for run in suite.runs for r in run.results.values()})
    if len(editions) > 1:
        notes.append(f"The columns mix editions ({', '.join(editions)}): no average is shown.")
    return notes


def _missing_rows(suite: Suite) -> list[str]:
    present = {run.method for run in suite.runs}
    missing = [label for method, label in paper.LABELS.items() if method not in present]
    return [f"No run of {', '.join(missing)} of the paper's rows."] if missing else []


def _run_notes(run: Run) -> list[str]:
    notes = []
    if not run.finished:
        reason = f" ({run.record['reason']})" if run.record.get("reason") else ""
        notes.append(
            f"{run.name} has status {run.status} at step {run.steps_done} of {run.steps}{reason}; "
            "the command that started it resumes it."
        )
    if run.eval_step is None:
        notes.append(f"{run.name} has not been evaluated.")
        return notes
    if run.eval_step != run.steps_done:
        notes.append(f"{run.name} was evaluated at step {run.eval_step} but trained to step {run.steps_done}.")
    missing = [bench.label for name, bench in BENCHES.items() if name not in run.results]
    if missing:
        notes.append(f"{run.name} was not evaluated on {', '.join(missing)}; its average is left out.")
    unscored = [BENCHES[bench].label for bench in run.results if bench not in run.scores]
    if unscored:
        notes.append(f"{run.name} has no score on {', '.join(unscored)}: the data carries no answers to grade by.")
    if not run.leakage:
        notes.append(f"{run.name} has no leakage result.")
    return notes


def training_notes(run: Run, metrics: pd.DataFrame) -> list[str]:
    """What went wrong in training: the last replies mostly cut, rewards zero throughout, groups of one reward each."""
    own = metrics[(metrics["method"] == run.method) & (metrics["seed"] == run.seed)]
    if own.empty:
        return []
    notes, last = [], own.sort_values("step").tail(LAST)
    if (cut := _mean(last, "truncated")) > HALF:
        notes.append(
            f"{run.name}: {cut:.0%} of the replies of its last {len(last)} steps were cut at the token limit, before "
            "any answer could be graded; raise train.max_completion_tokens."
        )
    if "reward" in own and (own["reward"] == 0).all():
        notes.append(f"{run.name}: no reply got a reward in {len(own)} steps; nothing was learnt from rewards.")
    elif (dead := _mean(own, "dead_groups")) > MOST:
        notes.append(
            f"{run.name}: in {dead:.0%} of the groups all replies got one reward; a policy gradient learnt from the "
            "others alone, so the data is too easy or too hard for the model."
        )
    return notes


def _mean(metrics: pd.DataFrame, name: str) -> float:
    """0 where it was not recorded."""
    return float(metrics[name].mean()) if name in metrics and metrics[name].notna().any() else 0.0


def _unequal(what: str, values: dict[str, int | None]) -> list[str]:
    """Run name to value: one sentence if they are not all equal, the commonest value last and without its runs."""
    groups: dict[int | None, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(value, []).append(name)
    if len(groups) < 2:
        return []
    *odd, (common, _) = sorted(groups.items(), key=lambda group: len(group[1]))
    sides = [f"{value} in {', '.join(names)}" for value, names in odd]
    return [f"{what} differs between runs: {'; '.join(sides)}; {common} in the others."]


def _other_base(suite: Suite) -> list[str]:
    """The untrained row must be the model that training started from."""
    base = {str(run.record.get("model")) for run in suite.runs if run.method == paper.BASE}
    others = [run.name for run in trained_runs(suite) if str(run.record.get("model")) not in base]
    if not base or not others:
        return []
    return [f"Base is {', '.join(sorted(base))}, but {', '.join(others)} started from another model."]


def _uneven_seeds(suite: Suite) -> list[str]:
    seeds: dict[str, list[str]] = {}
    for run in trained_runs(suite):
        seeds.setdefault(run.label, []).append(str(run.seed))
    if len({tuple(s) for s in seeds.values()}) < 2:
        return []
    told = "; ".join(f"{label}: {', '.join(of)}" for label, of in seeds.items())
    return [f"Methods were run with different seeds ({told})."]
