"""What differs between the compared runs, read from their resolved settings and not from anybody's memory."""

from collections.abc import Callable
from typing import Any

from reports.sections.section import Section, template
from reports.suite.comparable import flatten
from reports.suite.read import Run, Suite
from reports.suite.rows import row_labels, trained_runs

METHOD_KEYS = ("method", "params")  # what is compared, and so not listed as a difference
RECORD_KEYS = ("preset", "model", "data", "versions", "contents")
OF_METHOD = "contents.method"
ByKey = dict[str, dict[str, str]]


def setting_differences(suite: Suite) -> ByKey:
    """Settings that two methods do not share: key to label to values; empty means that only the methods differ."""
    shown = _by_label(suite, _shared_settings, "(absent)")
    return {key: values for key, values in shown.items() if len(set(values.values())) > 1}


def method_parameters(suite: Suite) -> ByKey:
    """Label to the method's own parameters as its settings record them."""
    shown = _by_label(suite, lambda run: flatten(run.settings.get("params") or {}), "")
    labels = _labels(suite).values()
    return {label: {key: values[label] for key, values in shown.items() if values[label]} for label in labels}


def _labels(suite: Suite) -> dict[str, str]:
    trained = {run.method for run in trained_runs(suite)}
    return {method: label for method, label in row_labels(suite).items() if method in trained}


def _by_label(suite: Suite, settings: Callable[[Run], dict[str, str]], absent: str) -> ByKey:
    """Key to label to the values of the method's seeds, joined."""
    found = [(run.method, settings(run)) for run in trained_runs(suite)]

    def joined(key: str, method: str) -> str:
        values = {told.get(key, absent) for of, told in found if of == method}
        return ", ".join(sorted(values - {""}))

    keys = sorted({key for _, told in found for key in told})
    return {key: {label: joined(key, method) for method, label in _labels(suite).items()} for key in keys}


def _shared_settings(run: Run) -> dict[str, str]:
    settings = {key: value for key, value in run.settings.items() if key not in METHOD_KEYS}
    record = {key: run.record[key] for key in RECORD_KEYS if key in run.record and key not in settings}
    return {key: value for key, value in (flatten(settings) | flatten(record)).items() if key != OF_METHOD}


def proven(suite: Suite) -> bool:
    """Whether every run has recorded what its data and its model hold, and not only where they lie."""
    recorded = [run.record.get("contents") or {} for run in trained_runs(suite)]
    return all({"data", "model"} <= set(contents) for contents in recorded)


def _compute(suite: Suite) -> dict[str, Any]:
    differences, parameters = setting_differences(suite), method_parameters(suite)
    return {"differences": differences, "parameters": parameters, "contents_recorded": proven(suite)}


DIFFERS = Section("differs", _compute, template(__file__), "What differs between the runs", json=dict)
