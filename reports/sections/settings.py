"""What differs between the compared runs, read from their resolved settings and not from anybody's memory."""

from __future__ import annotations

from dataclasses import dataclass

from reports.sections.table2 import row_labels
from reports.suite.comparable import flatten
from reports.suite.read import BASE, Run, Suite

METHOD_KEYS = (
    "method",
    "params",
)  # what is compared, and so not listed as a difference
RECORD_KEYS = ("preset", "model", "data", "versions")


@dataclass(frozen=True)
class Difference:
    """One setting outside the method section, with each method's values over its seeds."""

    key: str
    values: dict[str, str]


def setting_differences(suite: Suite) -> list[Difference]:
    """Settings that two methods do not share, by key; an empty list means that only the methods differ."""
    trained = [run for run in suite.runs if run.method != BASE]
    by_run = {run.name: _shared_settings(run) for run in trained}
    found = []
    for key in sorted({key for settings in by_run.values() for key in settings}):
        values: dict[str, set[str]] = {}
        for run in trained:
            values.setdefault(run.method, set()).add(by_run[run.name].get(key, "(absent)"))
        if len({frozenset(v) for v in values.values()}) > 1:
            labels = {m: label for m, label in row_labels(suite).items() if m in values}
            found.append(
                Difference(
                    key,
                    {label: ", ".join(sorted(values[m])) for m, label in labels.items()},
                )
            )
    return found


def _shared_settings(run: Run) -> dict[str, str]:
    settings = {key: value for key, value in run.settings.items() if key not in METHOD_KEYS}
    record = {key: run.record[key] for key in RECORD_KEYS if key in run.record and key not in settings}
    return flatten(settings) | flatten(record)


def method_parameters(suite: Suite) -> dict[str, dict[str, str]]:
    """Label to the method's own parameters as its settings record them; values of several seeds are joined."""
    parameters: dict[str, dict[str, str]] = {}
    for method, label in row_labels(suite).items():
        runs = [run for run in suite.runs if run.method == method and method != BASE]
        values: dict[str, set[str]] = {}
        for run in runs:
            for key, value in flatten({"params": run.settings.get("params") or {}}).items():
                values.setdefault(key.removeprefix("params."), set()).add(value)
        if runs:
            parameters[label] = {key: ", ".join(sorted(v)) for key, v in sorted(values.items())}
    return parameters
