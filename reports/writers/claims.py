"""The paper's claims on a suite's own runs, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from reports.findings.by_seed import load
from reports.findings.claims import MEANING, Finding, findings
from reports.findings.table import chance

HEAD = ("Paper", "Claim", "There", "Here (95 % interval)", "Corrected p", "Seeds", "Visible", "Verdict")


def tested(folders: Sequence[Path]) -> str:
    """A table with a line a claim; a method is taken from the first folder that has it. Raises UserError as `load`."""
    frames: list[pd.DataFrame] = []
    for folder in folders:
        found = load(folder)
        frames.append(found[~found["method"].isin({m for frame in frames for m in frame["method"]})])
    lines = [_cells(finding) for finding in findings(pd.concat(frames, ignore_index=True))]
    rows = [HEAD, ("---",) * len(HEAD), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + f"\n\n{MEANING}\n"


def _cells(finding: Finding) -> tuple[str, ...]:
    claim, found = finding.claim, finding.found
    words = (claim.source, claim.words, claim.paper)
    if found is None:
        return (*words, "–", "–", "–", "–", finding.verdict)
    plus = "+" if claim.bound == 0 else ""
    digits = 1 if claim.unit == "points" else 3
    value = f"{found.mean:{plus}.{digits}f}"
    if found.low is not None and found.high is not None:
        value += f" ({found.low:.{digits}f} to {found.high:.{digits}f})"
    value += "" if claim.unit == "points" else f" {claim.unit}"
    p = "not tested" if found.p is None else chance(found.p).removeprefix("p ").removeprefix("= ")
    visible = "–" if finding.visible is None else f"{finding.visible:.{digits}f}"
    return (*words, value.replace("-", "−"), p, str(found.seeds), visible, finding.verdict)
