"""What differs between the compared runs, read from their resolved settings and not from anybody's memory."""

from collections.abc import Callable

import pandas as pd

from reports.sections.section import Section, template
from reports.suite.comparable import flatten
from reports.suite.read import Run, Suite
from reports.suite.rows import row_labels, trained_runs

METHOD_KEYS = ("method", "params")  # what is compared, and so not listed as a difference
RECORD_KEYS = ("preset", "model", "data", "versions")
ByLabel = dict[str, dict[str, str]]


def setting_differences(suite: Suite) -> ByLabel:
    """Settings that two methods do not share: key to label to values; empty means that only the methods differ."""
    frame = _by_method(suite, _shared_settings, "(absent)")
    return {key: dict(frame[key]) for key in sorted(frame) if frame[key].nunique() > 1}


def method_parameters(suite: Suite) -> ByLabel:
    """Label to the method's own parameters as its settings record them."""
    frame = _by_method(suite, lambda run: flatten(run.settings.get("params") or {}), "")
    return {label: {key: value for key, value in sorted(row.items()) if value} for label, row in frame.iterrows()}


def _by_method(suite: Suite, settings: Callable[[Run], dict[str, str]], absent: str) -> pd.DataFrame:
    """One row a label, one column a setting: the values of the method's seeds, joined."""
    runs = trained_runs(suite)
    if not runs:
        return pd.DataFrame()
    frame = pd.DataFrame([settings(run) for run in runs], index=[run.method for run in runs]).fillna(absent)
    joined = frame.groupby(level=0).agg(lambda values: ", ".join(sorted(set(values) - {""})))
    labels = {m: label for m, label in row_labels(suite).items() if m in joined.index}
    return joined.loc[list(labels)].rename(index=labels)


def _shared_settings(run: Run) -> dict[str, str]:
    settings = {key: value for key, value in run.settings.items() if key not in METHOD_KEYS}
    record = {key: run.record[key] for key in RECORD_KEYS if key in run.record and key not in settings}
    return flatten(settings) | flatten(record)


def _compute(suite: Suite) -> dict[str, ByLabel]:
    return {"differences": setting_differences(suite), "parameters": method_parameters(suite)}


DIFFERS = Section("differs", _compute, template(__file__), "What differs between the runs", json=dict)
