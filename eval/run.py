"""Evaluate one model on benches through lm-eval: one model load, one folder of plain files per bench."""

import importlib.metadata
import platform
import time
from functools import partial
from pathlib import Path
from typing import Any

from eval import data, files
from eval.engine import check_model, fitting_threads, kept_random_state, quiet
from eval.grading import BENCHES, VERSION
from eval.grading.score import Row, Verdict
from eval.leakage import mentions
from eval.settings import EvalSettings
from eval.tasks.hooks import Docs, opened
from runners.errors import UserError

Result = dict[str, Any]
HOW = {"benches", "batch_size", "device", "tensor_parallel", "data_parallel", "judge"}  # not what is asked


def evaluate(
    model: str, settings: EvalSettings, out: Path, *, step: int | None = None, skip_bad: bool = False
) -> dict[str, Result]:
    """Evaluate a model folder or hub id; returns bench -> result as stored in `out/<bench>/result.json`.

    A bench that `out` already holds for the same model, data and settings is not run again. Raises UserError if
    it holds one for others, if the data is bad, or if the model folder is incomplete. Scores are in 0..1.
    """
    check_model(model)
    identities = {bench: identity(bench, model, settings) for bench in settings.benches}
    results: dict[str, Result] = {}
    for bench in settings.benches:
        if (stored := files.read_result(out / bench)) is not None:
            files.refuse_other(out / bench, stored["identity"], identities[bench])
            results[bench] = stored
    todo = [bench for bench in settings.benches if bench not in results]
    if results:
        print(f"already evaluated in {out}" + (":" if todo else ", nothing to do:"))
        for name, result in results.items():
            print(_line(name, result))
    if todo:
        # Bad data must not cost a model load, so all of it is read first.
        loaded = {bench: data.load(bench, settings.data, settings.limit, skip_bad) for bench in todo}
        files.writable(out)
        with kept_random_state(), fitting_threads(model):
            engine = load_engine(model, settings, max(_images(bench, loaded[bench].rows) for bench in todo))
            try:
                for bench in todo:
                    about = {"model": model, "step": step, "identity": identities[bench]}
                    results[bench] = run_bench(engine, bench, loaded[bench], settings, out / bench, about)
            finally:
                engine.close()
    if todo or files.lacks_leakage(out):
        files.write_leakage(out)
    return {bench: results[bench] for bench in settings.benches}


def identity(bench: str, model: str, settings: EvalSettings) -> dict[str, Any]:
    """All that must be the same for a stored result to be this one's. How it is computed (batches, device) is not."""
    asked = settings.model_dump(mode="json", exclude=HOW)
    return {
        **asked,
        "data": data.edition(settings.data),
        "data_id": data.fingerprint(bench, settings.data),
        "model_id": files.model_id(model),
        "task_version": BENCHES[bench].version,
        "grader_version": VERSION,
    }


def _images(bench: str, rows: list[Row]) -> int:
    """The most pictures that a prompt of the bench shows."""
    pictures = files.import_utils(bench).doc_to_image
    return max(len(pictures(row)) for row in rows)


def load_engine(model: str, settings: EvalSettings, max_images: int) -> Any:
    """The lm-eval model of the engine asked for, for prompts with up to `max_images` pictures."""
    quiet()
    try:
        if settings.engine == "vllm":
            from eval.engine_vllm import VllmEngine

            return VllmEngine(model, settings, max_images)
        from eval.engine_transformers import TransformersEngine

        return TransformersEngine(model, settings)
    except OSError as error:  # what transformers raises for files and hub ids that it cannot read
        reason = str(error).strip().splitlines()[0][:160]
        raise UserError(f"{model}: cannot be loaded ({reason}); give a model folder, or check the network") from error


def build_task(bench: str, rows: list[Row]) -> Any:
    """The bench's lm-eval task around our rows. Pictures are opened per batch: all at once would fill the memory."""
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml  # TaskManager does not let a caller replace a task's rows

    config = load_yaml(Path(__file__).parent / "tasks" / bench / f"{bench}.yaml")
    pictures = files.import_utils(bench).doc_to_image
    config["custom_dataset"] = lambda **_: {"test": Docs(rows)}
    config["doc_to_image"] = lambda doc: [partial(_open, pictures, doc)]
    return ConfigurableTask(config=config)


def _open(pictures: Any, doc: Row, max_pixels: int | None) -> list[Any]:
    return opened(pictures(doc), max_pixels)


def run_bench(
    engine: Any, bench: str, loaded: data.Data, settings: EvalSettings, folder: Path, about: dict[str, Any]
) -> Result:
    """Generate, grade and store one bench."""
    from lm_eval import evaluator

    start = time.perf_counter()
    task = build_task(bench, loaded.rows)
    evaluator.evaluate(
        engine, {"tasks": {bench: task}, "groups": {}}, bootstrap_iters=0, apply_chat_template=True, log_samples=False
    )
    samples = [_sample(bench, engine, request) for request in sorted(task.instances, key=lambda i: i.doc_id)]
    graded = [(row, sample["correct"]) for row, sample in zip(loaded.rows, samples, strict=True)]
    total = BENCHES[bench].aggregate(graded)
    n = len(samples)
    result: Result = {
        "bench": bench,
        "edition": data.edition(settings.data),
        "score": total.score,
        "stderr": total.stderr,
        "n": total.n,
        "unit": BENCHES[bench].unit,
        "scores": total.scores,
        "rows": n,
        "skipped_rows": loaded.skipped,
        "ungraded": sum(correct is None for _, correct in graded),
        "parsed": sum(s["parsed"] for s in samples) / n,
        "truncated": sum(s["finish"] != "stop" for s in samples) / n,
        "mentions": sum(bool(mentions(s["reply"])) for s in samples) / n,
        "tokens": sum(s["tokens"] for s in samples) / n,
        "rule": "default",
        "task_version": BENCHES[bench].version,
        "grader_version": VERSION,
        "generation": engine.applied(),
        **about,
        "versions": versions(settings.engine),
        "seconds": round(time.perf_counter() - start, 2),
    }
    files.write_bench(folder, result, samples)
    print(_line(bench, result))
    return result


def _sample(bench: str, engine: Any, request: Any) -> dict[str, Any]:
    """One line of samples.parquet."""
    row, reply = request.doc, engine.replies[bench, request.doc_id]
    verdict: Verdict = BENCHES[bench].grade(row, reply.text, "default")
    return {
        "id": BENCHES[bench].row_id(row),
        "doc_hash": data.doc_hash(bench, row),
        "prompt_hash": files.text_hash(request.args[0]),
        "cluster": BENCHES[bench].cluster(row),
        "reply": reply.text,
        **verdict._asdict(),
        "tokens": reply.tokens,
        "finish": reply.finish,
    }


def _line(bench: str, result: Result) -> str:
    label = BENCHES[bench].label + (f" ({result['edition']})" if result["edition"] != "official" else "")
    skipped = f", {result['skipped_rows']} bad rows left out" if result["skipped_rows"] else ""
    if result["score"] is None:
        return f"{label}: {result['rows']} replies; cannot grade: the data holds no answers{skipped}"
    error = f" ± {100 * result['stderr']:.1f}" if result["stderr"] is not None else ""
    return (
        f"{label}: {100 * result['score']:.1f}{error} over {result['n']} {result['unit']}, "
        f"{100 * result['parsed']:.0f} % parsed, {100 * result['truncated']:.0f} % truncated{skipped}"
    )


def versions(engine: str) -> dict[str, str]:
    """Exact versions of what can move a score."""
    names = ["torch", "transformers", "lm_eval", "pillow"]
    found = {name: importlib.metadata.version(name) for name in names}
    if engine == "vllm":
        from eval.engine_vllm import vllm_version

        found["vllm"] = vllm_version()
    return {"python": platform.python_version(), **found}
