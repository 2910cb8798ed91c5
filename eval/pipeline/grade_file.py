"""Recorded replies graded without a model, by the code that grades an evaluation's own."""

from pathlib import Path
from typing import Any, NamedTuple

from eval.benches import BENCHES, VERSION
from eval.benches.bench import Bench
from eval.benches.summary import grade_all, score_text, summary
from eval.core import files, tables
from eval.core.errors import UserError
from eval.data.load import load_text
from eval.data.sources import edition
from eval.grading.score import Row, Rule


class Line(NamedTuple):
    """A line of the replies' file: its key columns as they stand there, the row it answers, and the reply."""

    key: dict[str, Any]
    row_id: str
    reply: Any  # text; MathVista's official rule tells an extraction that is null or a number from its text


def grade_replies(name: str, data: str, replies: Path, rule: Rule, out: Path) -> str:
    """Grade the replies in a file, write a verdict a line to `out` and the score beside it; returns a line to print.

    `data`: the bench's rows as `load_text` reads them. `replies`: a file of rows with the bench's key and the bench's
    `reply_column`, most often `response`; rows with the same key are samples of one question.
    Questions without a reply are in no denominator, but counted. Raises UserError, and then has written nothing.
    """
    beside = _check_paths(replies, data, out)
    bench = BENCHES[name]
    lines, brought = _read(bench, replies, bench.reply_column(rule))
    rows = brought or {bench.todays_id(bench.row_id(row)): row for row in load_text(name, data)}
    numbers = _numbers(lines, rows, replies, data)
    answered = {row_id: rows[row_id] for row_id in rows if row_id in numbers}
    texts = [[lines[n].reply for n in numbers[row_id]] for row_id in answered]
    verdicts = grade_all(bench, list(answered.values()), texts, rule)
    scored = summary(bench, list(answered.values()), verdicts)
    found = {
        "bench": name,
        "edition": "local" if brought else edition(data),
        "rule": rule,
        "task_version": bench.version,
        "grader_version": VERSION,
        **scored,
        "replies": len(lines),
        "missing_rows": len(rows) - len(answered),
        **bench.official_summary(scored["scores"]),
    }
    graded: dict[int, dict[str, Any]] = {}
    for row_id, judged in zip(answered, verdicts, strict=True):
        for sample, (n, verdict) in enumerate(zip(numbers[row_id], judged, strict=True)):
            which = {"sample": sample} if len(judged) > 1 else {}
            graded[n] = {**lines[n].key, **which, **verdict._asdict()}
    files.write_all({out: files.lines_text(graded[n] for n in range(len(lines))), beside: files.json_text(found)})
    missing = f", {found['missing_rows']} rows without a reply" if found["missing_rows"] else ""
    return f"{score_text(bench, found['edition'], found)}, {rule} rule{missing}: {out}, {beside}"


def _check_paths(replies: Path, data: str, out: Path) -> Path:
    """Where the summary goes; raises UserError for paths that cannot be read or must not be written."""
    if not replies.is_file():
        raise UserError(f"--replies {replies}: no such file; give json lines with the bench's key and the replies")
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; give a file")
    beside = out.with_name(f"{out.name.removesuffix('.jsonl')}.summary.json")
    if beside.is_dir():
        raise UserError(f"{beside} is a folder; give another --out")
    read = [path for path in (replies, Path(data)) if path.exists()]
    if any(written.exists() and written.samefile(path) for written in (out, beside) for path in read):
        raise UserError(f"--out {out} would replace what is to be read; give another one")
    return beside


def _read(bench: Bench, file: Path, column: str) -> tuple[list[Line], dict[str, Row]]:
    """The lines of the replies' file, and the rows that it brings along if the bench knows such files."""
    lines: list[Line] = []
    rows: dict[str, Row] = {}
    for row, where, *_ in tables.read_files(tables.data_files(file), pictures=False):
        if not lines:  # the first line says which kind of file it is
            brought = bench.brought if row.keys() & {bench.brought.get(name) for name in bench.key} else {}
            columns = tuple(brought.get(name, name) for name in bench.key)
            beside = [name for name in brought.values() if name not in columns]
        for needed in (*columns, column, *beside):
            if needed not in row or (needed in columns and row[needed] is None):
                raise UserError(f"{where}: has no {needed} (columns: {', '.join(row)}); add that column")
        key = {name: row[name] for name in columns}
        row_id = bench.todays_id("/".join(str(value) for value in key.values()))
        reply = row[column]
        if column == "response" and not isinstance(reply, str | None):
            raise UserError(f"{where}: its response is {type(reply).__name__}, not text; mend that line")
        lines.append(Line(key, row_id, (reply or "") if column == "response" else reply))
        if brought:
            own = {name: row[there] for name, there in brought.items()}
            if rows.setdefault(row_id, own) != own:
                raise UserError(
                    f"{where}: its {' or '.join(beside)} is not that of the lines with the same "
                    f"{' and '.join(columns)}; mend it"
                )
    if not lines:
        raise UserError(f"{file}: holds no reply; give json lines with {' and '.join(bench.key)} and {column}")
    return lines, rows


def _numbers(lines: list[Line], rows: dict[str, Row], replies: Path, data: str) -> dict[str, list[int]]:
    """Row -> the numbers of the lines that answer it, as many for every row."""
    numbers: dict[str, list[int]] = {}
    for n, line in enumerate(lines):
        if line.row_id not in rows:
            raise UserError(f"{replies}: {data} has no row {line.row_id}; give as --data the rows that were asked")
        numbers.setdefault(line.row_id, []).append(n)
    samples = len(numbers[lines[0].row_id])
    for row_id, answers in numbers.items():
        if len(answers) != samples:
            raise UserError(
                f"{replies}: holds {samples} replies to {lines[0].row_id}, but {len(answers)} to {row_id}; "
                "give every row the same number"
            )
    return numbers
