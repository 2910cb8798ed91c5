"""Evaluate one model on benches through lm-eval: one model load, one folder of plain files per bench."""

import importlib.metadata
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.benches import BENCHES, VERSION, chosen
from eval.benches.summary import grade_all, score_text, summary
from eval.core import files
from eval.data.load import without_pictures
from eval.data.sources import edition, fingerprint
from eval.engines.load import loaded_engine
from eval.engines.model_folder import check_model
from eval.engines.requests import vllm_version
from eval.grading.score import Verdict
from eval.pipeline import leakage, questions, replies
from eval.pipeline import workers as parallel
from eval.pipeline.ask import Work, ask, load_work
from eval.pipeline.results import model_id, read_result, refuse_other, samples_of, write_bench
from eval.settings import EvalSettings, JudgeSettings

Result = dict[str, Any]
# Not what is asked.
HOW = {
    *("benches", "tasks", "splits", "every", "allow_outside", "chat"),
    *("batch_size", "device", "tensor_parallel", "data_parallel", "judge"),
}


def evaluate(
    model: str, settings: EvalSettings, out: Path, *, step: int | None = None, skip_bad: bool = False
) -> dict[str, Result]:
    """Evaluate a model folder or hub id; returns bench -> result as stored in `out/<bench>/result.json`.

    A bench that `out` already holds for the same model, data and settings is not run again, and one that was broken
    off is asked only what it lacks. Raises UserError if `out` holds one for others, if the data is bad, if the model
    folder is incomplete, or if a judge is asked for and not there. Scores are in 0..1.
    """
    check_model(model)
    benches = chosen(settings.benches)
    identities: dict[str, dict[str, Any]] = {bench: identity(bench, model, settings) for bench in benches}
    results = _stored(out, identities)
    todo = [bench for bench in identities if bench not in results]
    unjudged = [bench for bench in identities if settings.judge.url and not _judged(results.get(bench), settings.judge)]
    unsearched = [bench for bench, result in results.items() if leakage.lacks(result)]
    if results:
        print(f"already evaluated in {out}" + (":" if todo or unjudged or unsearched else ", nothing to do:"))
        for name, result in results.items():
            print(line(name, result))
    for bench in todo:
        replies.merge(out / bench, identities[bench])  # refuses other settings, before anything is loaded
    if unjudged:
        from eval.judge.judging import probe

        probe(settings.judge)
    needed = {bench: asked for bench, asked in identities.items() if bench in {*todo, *unjudged, *unsearched}}
    works = load_work(settings, needed, out, skip_bad)
    if todo:
        parallel.gpu_groups(settings)  # too few GPUs are told before anything is made
        with files.writable(out):
            about = {"model": model, "step": step}
            results |= _run([work for work in works if work.bench in todo], settings, out, skip_bad, about)
    for work in works:
        if work.bench in unsearched:
            results[work.bench] = _search(work, results[work.bench])
        if work.bench in unjudged:
            results[work.bench] = _judge(work, results[work.bench], settings)
    leakage.write(out)
    return {bench: results[bench] for bench in benches}


def is_evaluated(out: Path, settings: EvalSettings) -> bool:
    """Whether `out` has every result that is asked for, whatever has become of the model. Raises UserError where they
    are another evaluation's."""
    stored = {bench: read_result(out / bench) for bench in chosen(settings.benches)}
    for bench, result in stored.items():
        if result is not None:
            refuse_other(out / bench, result["identity"], identity(bench, result["identity"]["model_id"], settings))
    return all(stored.values()) and not settings.tasks


def identity(bench: str, model: str, settings: EvalSettings) -> dict[str, Any]:
    """All that must be the same for a stored result to be this one's. How it is computed (batches, device) is not."""
    split = settings.splits.get(bench, BENCHES[bench].split)
    return {
        **settings.model_dump(mode="json", exclude=HOW),
        "split": split,
        "data": edition(settings.data),
        "data_id": fingerprint(bench, settings.data, split),
        "model_id": model_id(model),
        "task_version": BENCHES[bench].version,
        "grader_version": VERSION,
        **settings.spoken,
    }


def _stored(out: Path, identities: dict[str, dict[str, Any]]) -> dict[str, Result]:
    """The complete results in `out`; raises UserError where one is another evaluation's."""
    results = {}
    for bench, asked in identities.items():
        if (stored := read_result(out / bench)) is not None:
            refuse_other(out / bench, stored["identity"], asked)
            replies.main_file(out / bench).unlink(missing_ok=True)  # a kill has left it beside its result
            results[bench] = stored
    return results


def _run(
    works: Sequence[Work], settings: EvalSettings, out: Path, skip_bad: bool, about: dict[str, Any]
) -> dict[str, Result]:
    """Asks what is not answered, then grades and stores."""
    start, total, done = time.perf_counter(), 0, 0
    for work in works:
        there = replies.merge(work.folder, work.identity)
        asked = len(work.loaded.rows) * settings.samples
        lacking = len(work.unanswered(there, settings.samples))
        total, done = total + asked, done + asked - lacking
        if lacking < asked:
            print(f"{BENCHES[work.bench].label}: {asked - lacking} of {asked} replies were there")
        if lost := work.loaded.lost:
            more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
            print(f"{BENCHES[work.bench].label}: no reply can be right on row {lost[0]}{more}; it counts all the same")
    results: dict[str, Result] = {}
    if done < total and settings.data_parallel > 1:
        parallel.ask_all(about["model"], settings, works, out, skip_bad, total, done)
    elif done < total:
        with loaded_engine(about["model"], settings, max(work.most_pictures for work in works)) as engine:
            for work in works:
                start = time.perf_counter()
                ask(engine, work, settings)
                results[work.bench] = _store(work, settings, about, start)
    for work in works:
        if work.bench not in results:
            results[work.bench] = _store(work, settings, about, start)
    return results


def _store(work: Work, settings: EvalSettings, about: dict[str, Any], start: float) -> Result:
    """Grades and stores a bench that is answered completely."""
    bench, rows = work.bench, work.loaded.rows
    kept = replies.merge(work.folder, work.identity)
    answers = [[kept.answers[row_id, sample] for sample in range(settings.samples)] for row_id in work.ids]
    texts = [[answer["text"] for answer in group] for group in answers]
    verdicts = grade_all(BENCHES[bench], rows, texts, "default")
    samples = [
        _sample(bench, row, answer, verdict)
        for row, group, judged in zip(rows, answers, verdicts, strict=True)
        for answer, verdict in zip(group, judged, strict=True)
    ]
    n = len(samples)
    result: Result = {
        "bench": bench,
        "edition": edition(settings.data),
        **summary(BENCHES[bench], rows, verdicts),
        "rows": len(rows),
        "skipped_rows": work.loaded.skipped,
        "lost_rows": len(work.loaded.lost),
        "truncated": sum(s["finish"] != "stop" for s in samples) / n,
        "leakage": leakage.search([without_pictures(BENCHES[bench], row) for row in rows], texts),
        "tokens": sum(s["tokens"] for s in samples) / n,
        "rule": "default",
        "task_version": BENCHES[bench].version,
        "grader_version": VERSION,
        "generation": kept.generation,
        **about,
        "identity": work.identity,
        "versions": versions(settings.engine),
        "seconds": round(time.perf_counter() - start, 2),
    }
    questions.write(work.folder, bench, rows)
    write_bench(work.folder, result, samples)
    replies.main_file(work.folder).unlink()
    print(line(bench, result))
    return result


def _sample(bench: str, row: dict[str, Any], answer: replies.Answer, verdict: Verdict) -> dict[str, Any]:
    """One line of samples.parquet."""
    return {
        **{name: answer[name] for name in ("id", "sample", "doc_hash", "prompt_hash")},
        "cluster": BENCHES[bench].cluster(row),
        "reply": answer["text"],
        **verdict._asdict(),
        "tokens": answer["tokens"],
        "finish": answer["finish"],
    }


def _judged(result: Result | None, judge: JudgeSettings) -> bool:
    """Whether a stored result holds all that this judge has to say: what got no answer is asked again."""
    from eval.judge.prompt import PROMPT_VERSION

    said = (result or {}).get("judge") or {}
    return (said.get("model"), said.get("prompt_version"), said.get("failed")) == (judge.model, PROMPT_VERSION, 0)


def _search(work: Work, result: Result) -> Result:
    """Has the stored replies searched for leakage and adds what was found to the stored result."""
    rows, bench = work.loaded.rows, BENCHES[work.bench]
    texts = [[s["reply"] for s in group] for group in samples_of(work.folder, work.bench, rows)]
    result = {**result, "leakage": leakage.search([without_pictures(bench, row) for row in rows], texts)}
    files.write_json(work.folder / "result.json", result)
    return result


def _judge(work: Work, result: Result, settings: EvalSettings) -> Result:
    """Has the stored replies judged and adds what came of it to the stored result."""
    from eval.judge.judging import judge_bench

    rows = work.loaded.rows
    groups = samples_of(work.folder, work.bench, rows)
    verdicts = [[Verdict(*(s[name] for name in Verdict._fields)) for s in group] for group in groups]
    texts = [[s["reply"] for s in group] for group in groups]
    judged = judge_bench(BENCHES[work.bench], rows, texts, verdicts, settings.judge, work.folder)
    result = {**result, "judge": judged}
    files.write_json(work.folder / "result.json", result)
    print(line(work.bench, result))
    return result


def line(bench: str, result: Result) -> str:
    """A result as one line for people."""
    skipped = f", {result['skipped_rows']} bad rows left out" if result["skipped_rows"] else ""
    truncated = f"{100 * result['truncated']:.0f} % truncated"
    said = _judge_line(result.get("judge"))
    return f"{score_text(BENCHES[bench], result['edition'], result)}, {truncated}{skipped}{said}"


def _judge_line(judge: dict[str, Any] | None) -> str:
    if judge is None:
        return ""
    failed = f", {judge['failed']} not judged" if judge["failed"] else ""
    if judge["score"] is None:
        return f"; judge {judge['model']}: no score{failed}"
    return f"; judge {judge['model']}: {100 * judge['score']:.1f}, agrees on {100 * judge['agreement']:.1f} %{failed}"


def versions(engine: str) -> dict[str, str]:
    """Exact versions of what can move a score."""
    names = ["torch", "transformers", "lm_eval", "pillow"]
    found = {name: importlib.metadata.version(name) for name in names}
    if engine == "vllm":
        found["vllm"] = vllm_version()
    return {"python": platform.python_version(), **found}
