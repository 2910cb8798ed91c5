"""Asking an engine the questions of a bench that are not answered yet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from eval.benches import BENCHES
from eval.core import files
from eval.core.errors import UserError
from eval.core.progress import Bar
from eval.data.load import Data, doc_hash, load
from eval.engines.requests import Question, Reply
from eval.grading.score import Row
from eval.pipeline import replies
from eval.settings import EvalSettings
from eval.tasks.config import Docs, task_config


class Work(NamedTuple):
    """One bench to be asked: its checked rows, whose replies count, and the folder that keeps them."""

    bench: str
    loaded: Data
    identity: dict[str, Any]
    folder: Path

    @property
    def ids(self) -> list[str]:
        return [BENCHES[self.bench].row_id(row) for row in self.loaded.rows]

    @property
    def most_pictures(self) -> int:
        """The most pictures that a prompt of the bench shows."""
        return max(len(BENCHES[self.bench].shown(row)) for row in self.loaded.rows)

    def unanswered(self, kept: replies.Kept, samples: int) -> list[tuple[int, int]]:
        """(row number, sample) of what nothing is kept of; raises UserError if the rows are not those of what is."""
        ids = self.ids
        rows = enumerate(self.loaded.rows)
        hashes = {(ids[i], doc_hash(self.bench, row)) for i, row in rows} if kept.answers else ()
        if other := next((a["id"] for a in kept.answers.values() if (a["id"], a["doc_hash"]) not in hashes), None):
            path = replies.main_file(self.folder)
            raise UserError(f"{path}: row {other} was another when it was asked; remove the file to ask all again")
        return [(i, j) for i, row_id in enumerate(ids) for j in range(samples) if (row_id, j) not in kept.answers]


def build_task(bench: str, rows: list[Row]) -> Any:
    """The bench's lm-eval task around our rows: it writes the prompts; pictures are opened by the engine."""
    from lm_eval.api.task import ConfigurableTask

    ours = {"custom_dataset": lambda **_: {"test": Docs(rows)}, "doc_to_image": BENCHES[bench].shown}
    return ConfigurableTask(config={**task_config(BENCHES[bench]), **ours})


def prompts(engine: Any, bench: str, rows: list[Row]) -> list[str]:
    """What the engine's chat template makes of the task's text, row by row."""
    task = build_task(bench, rows)
    task.build_all_requests(apply_chat_template=True, chat_template=engine.apply_chat_template)
    return [str(request.args[0]) for request in sorted(task.instances, key=lambda request: request.doc_id)]


def ask(engine: Any, work: Work, settings: EvalSettings, worker: int | None = None) -> None:
    """Asks what `replies.jsonl` lacks, as a worker only its share, and appends the replies as they come."""
    rows, main = work.loaded.rows, replies.main_file(work.folder)
    todo = work.unanswered(replies.read(main, work.identity), settings.samples)
    path, total = main, len(rows) * settings.samples
    if worker is not None:
        # Neighbours go to different workers: the samples of a long question, the questions of a hard subject.
        todo = todo[worker :: settings.data_parallel]
        path, total = replies.worker_file(work.folder, worker), len(todo)
    if not todo:
        return
    asked = prompts(engine, work.bench, rows)
    questions = [Question(i, j, asked[i], BENCHES[work.bench].shown(rows[i])) for i, j in todo]
    applied = engine.applied()
    with Bar(BENCHES[work.bench].label, total, total - len(todo)) as bar:
        for answered in engine.answers(questions):
            answers = [_answer(work, question, reply) for question, reply in answered]
            replies.append(path, work.identity, applied, answers)
            bar.advance(len(answered))


def _answer(work: Work, question: Question, reply: Reply) -> replies.Answer:
    row = work.loaded.rows[question.row]
    return {
        "id": BENCHES[work.bench].row_id(row),
        "sample": question.sample,
        "doc_hash": doc_hash(work.bench, row),
        "prompt_hash": files.text_hash(question.prompt),
        **reply._asdict(),
    }


def load_work(
    settings: EvalSettings, identities: dict[str, dict[str, Any]], out: Path, skip_bad: bool
) -> Sequence[Work]:
    """The rows of every bench of `identities`: bad data must not cost a model load, so all of it is read first."""
    works = []
    for bench, identity in identities.items():
        rows = load(bench, settings.data, settings.limit, skip_bad, identity["split"], settings.allow_outside)
        works.append(Work(bench, rows, identity, out / bench))
    return works
