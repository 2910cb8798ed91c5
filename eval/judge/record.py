"""`judge.jsonl` in a bench's folder: every answer of a judge as it comes, the record and the cache."""

import threading
from pathlib import Path
from typing import NamedTuple

from eval.core import files
from eval.judge.endpoint import Answer
from eval.judge.prompt import PROMPT_VERSION, verdict_of

FILE = "judge.jsonl"


class Inquiry(NamedTuple):
    """What is asked about one reply: `row` and `sample` are positions, `key` identifies the whole request."""

    row: int
    sample: int
    key: str
    prompt: str


class Record:
    """`judge.jsonl`: a line for every judged reply. Safe to add to from several threads.

    `answers` maps a request's key to the judge's last line. A request that got no readable answer has a line that
    says why, but is asked again by the next call. So is what stood in a torn line.
    """

    def __init__(self, path: Path, model: str, ids: list[str]) -> None:
        self.answers: dict[str, str] = {}
        self._path, self._model, self._ids = path, model, ids
        self._lines: set[tuple[str, str, int]] = set()
        self._lock = threading.Lock()
        for entry in files.read_lines(path).rows:
            if isinstance(entry.get("last_line"), str):
                self._lines.add((entry["key"], entry["id"], entry["sample"]))
                self.answers[entry["key"]] = entry["last_line"]

    def holds(self, question: Inquiry) -> bool:
        return (question.key, self._ids[question.row], question.sample) in self._lines

    def add(self, questions: list[Inquiry], answer: Answer) -> None:
        """Appends one line for each of the questions, which share a key."""
        verdict = verdict_of(answer.last_line)
        lines = [
            {
                "id": self._ids[question.row],
                "sample": question.sample,
                "verdict": None if verdict is None else "correct" if verdict else "incorrect",
                "last_line": answer.last_line,
                **({"problem": answer.problem} if answer.problem else {}),
                "model": self._model,
                "prompt_version": PROMPT_VERSION,
                "key": question.key,
            }
            for question in questions
        ]
        with self._lock:
            files.append_lines(self._path, lines)
            if answer.last_line is not None:
                self.answers[questions[0].key] = answer.last_line
                self._lines |= {(q.key, self._ids[q.row], q.sample) for q in questions}
