"""Stored replies graded, and searched for leaks, again with today's rules, without a model."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from eval.benches import BENCHES, VERSION
from eval.benches.summary import grade_all, score_text, summary
from eval.core.errors import UserError
from eval.data.load import load, without_pictures
from eval.data.sources import EDITIONS, edition
from eval.grading.score import Row
from eval.pipeline import leakage, results

SOURCES = {**{name: name for name in EDITIONS}, "official": "hub"}  # edition -> where its rows come from again


def regrade(out: Path, benches: Sequence[str], data: str) -> None:
    """Grade the evaluations below `out` again by the default rule and search them for leaks again; replies and all
    that was measured stay.

    `data` is where rows are read if they came from a local file. Raises UserError, and then has changed nothing, where
    no bench is held or where the rows are not those that were asked (their ids or `doc_hash` differ).
    """
    stored = {bench: results.read_result(out / bench) for bench in benches}
    held = {bench: result for bench, result in stored.items() if result is not None}
    if not held:
        raise UserError(f"{out} holds no evaluation of {', '.join(benches)}; evaluate first, or name its folder")
    graded = {bench: _regraded(out / bench, bench, result, data) for bench, result in held.items()}
    for bench, (result, samples, told) in graded.items():
        results.write_bench(out / bench, result, samples)
        print(told)
    leakage.write(out)
    if lacking := [bench for bench in benches if bench not in held]:
        print(f"not evaluated in {out}: {', '.join(lacking)}")


def _regraded(folder: Path, bench: str, old: dict[str, Any], data: str) -> tuple[dict[str, Any], list[Row], str]:
    """The new result and samples of one bench, and the line that says what changed."""
    rows = _rows(folder, bench, old, data)
    groups = results.samples_of(folder, bench, rows)
    texts = [[s["reply"] for s in group] for group in groups]
    verdicts = grade_all(BENCHES[bench], rows, texts, "default")
    samples, flat = list(chain(*groups)), list(chain(*verdicts))
    changed = sum(s["correct"] != verdict.correct for s, verdict in zip(samples, flat, strict=True))
    versions = {"task_version": BENCHES[bench].version, "grader_version": VERSION}
    result = {
        **old,
        **summary(BENCHES[bench], rows, verdicts),
        "rule": "default",
        **versions,
        "identity": {**old["identity"], **versions},
        "leakage": leakage.search([without_pictures(BENCHES[bench], row) for row in rows], texts),
        "regraded": True,
    }
    before = "no score" if old["score"] is None else f"{100 * old['score']:.1f}"
    told = (
        f"{score_text(BENCHES[bench], result['edition'], result)}; it was {before}, "
        f"{changed} of {len(samples)} verdicts changed (grader version {old['grader_version']}, now {VERSION})"
    )
    for name, now in result["leakage"].items():
        was = old.get("leakage", {}).get(name)
        if was is not None and was["found"] != now["found"]:
            told += f"; {name}: {len(now['found'])} found, it was {len(was['found'])}"
    if changed and result.pop("judge", None):
        # How far a judge agrees was said of the old verdicts. Its answers stay: judging again asks nothing anew.
        told += "; the judge's comparison is void: evaluate with the judge again"
    judged_samples = [{**s, **verdict._asdict()} for s, verdict in zip(samples, flat, strict=True)]
    return result, judged_samples, told


def _rows(folder: Path, bench: str, old: dict[str, Any], data: str) -> list[Row]:
    """The rows that were asked: the same edition, split, limit and, if bad ones were left out, without these."""
    identity = old["identity"]
    source = SOURCES.get(identity.get("data"), data)
    if edition(source) != identity.get("data"):
        raise UserError(f"{folder}: its rows came from a local file; name it with --data")
    skip_bad = bool(old.get("skipped_rows"))
    return load(bench, source, identity.get("limit"), skip_bad, identity.get("split"), allow_outside=True).rows
