"""The optional judge: a language model behind an OpenAI-compatible endpoint says which replies are right.

It stands beside the rule and never replaces it. A judge's answer counts only if its last line is a verdict and nothing
else.
"""

import hashlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from eval.benches.bench import Bench
from eval.core.errors import UserError
from eval.core.progress import Bar
from eval.grading.score import Graded, Row, Verdict
from eval.judge.endpoint import Answer, Endpoint
from eval.judge.prompt import PROMPT_VERSION, prompt_for, verdict_of
from eval.judge.record import FILE, Inquiry, Record
from eval.settings import JudgeSettings


def probe(judge: JudgeSettings) -> None:
    """Asks the endpoint one trivial question.

    Raises UserError if it cannot be reached, refuses the key, does not know the model, or answers with something else
    than a chat completion.
    """
    endpoint = Endpoint(judge)
    answer = endpoint.ask("Reply with this line and nothing else:\nVERDICT: correct")
    if answer.last_line is None:
        raise UserError(
            f"judge at {endpoint.host} answers no chat completion ({answer.problem}); check eval.judge.url (up to and "
            "with /v1) and eval.judge.model"
        )


def judge_bench(
    bench: Bench,
    rows: list[Row],
    replies: list[list[str]],
    verdicts: list[list[Verdict]],
    judge: JudgeSettings,
    folder: Path,
) -> dict[str, Any]:
    """Has every reply judged whose row has a gold answer, and says how that compares with the rule's verdicts.

    `replies` and `verdicts` are rows x samples. What `folder/judge.jsonl` holds is not asked again. `score` (0..1, None
    where nothing was judged) is the bench's own aggregate over the judged replies, sample by sample (We-Math: over
    problems of which every row was judged); `n` counts the questions or problems in it; `agreement` is the share of
    judged replies where judge and rule agree. Raises UserError if the endpoint stops answering; what it answered stays.
    """
    start = time.perf_counter()
    questions = [
        Inquiry(i, s, _key(judge.model, prompt), prompt)
        for i, row in enumerate(rows)
        for s, (reply, verdict) in enumerate(zip(replies[i], verdicts[i], strict=True))
        if verdict.correct is not None
        for prompt in [prompt_for(bench, row, reply)]
    ]
    ids = [bench.row_id(row) for row in rows]
    record = Record(folder / FILE, judge.model, ids)
    _ask_all(bench, questions, record, judge)
    judged = {(q.row, q.sample): v for q in questions if (v := verdict_of(record.answers.get(q.key))) is not None}
    score, n = _score(bench, rows, judged)
    agreeing = sum(verdicts[i][s].correct == correct for (i, s), correct in judged.items())
    return {
        "score": score,
        "n": n,
        "agreement": agreeing / len(judged) if judged else None,
        "judged": len(judged),
        "failed": len(questions) - len(judged),
        "model": judge.model,
        "prompt_version": PROMPT_VERSION,
        "seconds": round(time.perf_counter() - start, 2),
    }


def _key(model: str, prompt: str) -> str:
    return hashlib.sha256(json.dumps([model, PROMPT_VERSION, prompt]).encode()).hexdigest()


def _score(bench: Bench, rows: list[Row], judged: dict[tuple[int, int], bool]) -> tuple[float | None, int]:
    """The bench's aggregate of each sample, weighted by how many units that sample has, and the number of units."""
    total, weight = 0.0, 0
    members: dict[str, list[int]] = {}  # the rows of each unit
    for i, row in enumerate(rows):
        members.setdefault(bench.problem(row) or bench.row_id(row), []).append(i)
    units: set[str] = set()
    for sample in sorted({s for _, s in judged}):
        graded: Graded = [(row, judged.get((i, sample))) for i, row in enumerate(rows)]
        part = bench.aggregate(graded)
        if part.score is None:
            continue
        total += part.score * part.n
        weight += part.n
        units |= {unit for unit, group in members.items() if all((i, sample) in judged for i in group)}
    return (total / weight if weight else None), len(units)


def _ask_all(bench: Bench, questions: list[Inquiry], record: Record, judge: JudgeSettings) -> None:
    """Asks what the record does not answer, each distinct prompt once, `requests_at_once` at a time."""
    waiting: dict[str, list[Inquiry]] = {}
    for question in questions:
        if question.key not in record.answers:
            waiting.setdefault(question.key, []).append(question)
        elif not record.holds(question):
            record.add([question], Answer(record.answers[question.key]))
    if not waiting:
        return
    endpoint = Endpoint(judge)

    stop = threading.Event()  # one failure ends all: what is under way is still recorded, nothing more is asked

    def work(same: list[Inquiry]) -> int:
        if stop.is_set():
            return 0
        try:
            record.add(same, endpoint.ask(same[0].prompt))
        except BaseException:
            stop.set()
            raise
        return len(same)

    try:
        with (
            Bar(f"{bench.name} judge", sum(map(len, waiting.values()))) as bar,
            ThreadPoolExecutor(judge.requests_at_once) as pool,
        ):
            try:
                for future in as_completed([pool.submit(work, same) for same in waiting.values()]):
                    bar.advance(future.result())
            finally:
                stop.set()
    except UserError as error:
        kept = sum(question.key in record.answers for question in questions)
        raise UserError(
            f"{error}: {kept} of {len(questions)} replies judged are kept; the same command goes on"
        ) from error
