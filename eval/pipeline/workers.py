"""Several copies of the model: a process each, with its own GPUs and its own share of the questions."""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.core import child
from eval.core.child import Child
from eval.core.errors import UserError
from eval.core.progress import Bar
from eval.engines.load import loaded_engine
from eval.engines.requests import vllm_version
from eval.pipeline import replies
from eval.pipeline.ask import Work, ask, load_work
from eval.settings import EvalSettings

POLL_S = 0.2


def gpu_groups(settings: EvalSettings) -> list[str | None]:
    """`CUDA_VISIBLE_DEVICES` of each worker, None where there are no GPUs to share. Raises UserError for too few."""
    import torch

    copies, each = settings.data_parallel, settings.tensor_parallel
    on_cpu = settings.device == "cpu" if settings.engine == "transformers" else vllm_version().endswith("+cpu")
    if on_cpu or not torch.cuda.is_available():
        if copies > (cores := max(2, len(os.sched_getaffinity(0)))):
            raise UserError(f"eval.data_parallel {copies}: this machine has {cores} cores; lower it")
        return [None] * copies
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]
    if copies * each > len(gpus):
        raise UserError(
            f"eval.data_parallel {copies} x eval.tensor_parallel {each} needs {copies * each} GPUs and {len(gpus)} are "
            "visible; lower one of the two"
        )
    if copies > 1 and settings.device not in ("auto", "cuda"):
        raise UserError(f"eval.device {settings.device} is one GPU; with eval.data_parallel {copies} leave it at auto")
    return [",".join(gpus[i * each : (i + 1) * each]) for i in range(copies)]


def ask_all(
    model: str, settings: EvalSettings, works: Sequence[Work], out: Path, skip_bad: bool, total: int, done: int
) -> None:
    """Runs the workers until every question is answered; their replies are merged.

    Raises UserError with a worker's own line, or naming the log of one that died. What was answered is kept.
    """
    job = {
        "model": model,
        "settings": settings.model_dump(mode="json"),
        "identities": {work.bench: work.identity for work in works},
        "out": str(out),
        "skip_bad": skip_bad,
    }
    logs = [out / f"worker{i}.log" for i in range(settings.data_parallel)]
    running: list[Child] = []
    try:
        for i, gpus in enumerate(gpu_groups(settings)):
            running.append(_start({**job, "worker": i}, logs[i], gpus))
        with Bar(f"{settings.data_parallel} workers", total, done) as bar:
            _wait(running, works, bar, done)
    finally:
        for worker in running:
            worker.cancel()  # nothing is lost: replies are written line by line
        for work in works:
            replies.merge(work.folder, work.identity)
    for log in logs:
        log.unlink()


def _start(job: dict[str, Any], log: Path, gpus: str | None) -> Child:
    environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    if gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpus
    return child.start("eval.pipeline.workers", [json.dumps(job)], log, environment)


def _wait(running: Sequence[Child], works: Sequence[Work], bar: Bar, done: int) -> None:
    """Until all workers have ended well; raises UserError as soon as one has not."""
    written = [_Written(replies.worker_file(work.folder, i)) for work in works for i in range(len(running))]
    while True:
        codes = [worker.poll() for worker in running]
        bar.update(done + sum(file.answers() for file in written))
        for worker, code in zip(running, codes, strict=True):
            if code:
                raise UserError(
                    child.take_word(worker.log)
                    or f"a worker ended with exit code {code}, see {worker.log}; the same command goes on with what is "
                    "left"
                )
        if all(code == 0 for code in codes):
            return
        time.sleep(POLL_S)


class _Written:
    """Counts the answers in a file that grows, reading every byte once."""

    def __init__(self, path: Path) -> None:
        self.path, self.bytes, self.lines = path, 0, 0

    def answers(self) -> int:
        if self.path.exists():
            with self.path.open("rb") as stream:
                stream.seek(self.bytes)
                new = stream.read()
            self.bytes, self.lines = self.bytes + len(new), self.lines + new.count(b"\n")
        return max(0, self.lines - 1)  # the first line says whose replies they are


def work_off(job: dict[str, Any]) -> None:
    """In a worker: asks its share of every bench. It starts no workers of its own."""
    settings = EvalSettings.model_validate(job["settings"])
    works = load_work(settings, job["identities"], Path(job["out"]), job["skip_bad"])
    with loaded_engine(job["model"], settings, max(work.most_pictures for work in works)) as engine:
        for work in works:
            ask(engine, work, settings, job["worker"])


if __name__ == "__main__":
    work_off(json.loads(sys.argv[1]))
