"""lm-eval's own tasks beside our benches: its prompts, its generation, its metrics; and our search for leakage."""

import importlib.metadata
import json
from functools import cache
from pathlib import Path
from typing import Any

from eval.benches import BENCHES
from eval.core import files
from eval.core.errors import UserError, one_line
from eval.engines.load import loaded_engine, quiet
from eval.engines.model_folder import check_model
from eval.pipeline import leakage
from eval.pipeline.results import model_id, refuse_other
from eval.settings import EvalSettings

Result = dict[str, Any]


def evaluate_tasks(model: str, settings: EvalSettings, out: Path) -> dict[str, Result]:
    """Task -> result, as stored in `out/<task>/lm_eval.json`; every document with its replies is beside it.

    `eval.limit` cuts a task's documents, `eval.batch_size` and `eval.device` are how it is computed; all else is the
    task's own. What `out` already holds is not run again. Raises UserError for a task that lm-eval does not know or
    cannot load, and where `out` holds the same task of another model or limit.
    """
    check_model(model)
    wanted = {name: _identity(name, model, settings) for name in settings.tasks}
    results: dict[str, Result] = {}
    for name, identity in wanted.items():
        folder = out / Path(name).stem
        if (stored := files.read_object(folder / "lm_eval.json")) is not None:
            refuse_other(folder, stored["identity"], identity)
            results[name] = stored
            print(f"already evaluated in {folder}: {line(name, stored)}")
    if todo := [name for name in wanted if name not in results]:
        quiet()
        loaded = {name: _load(name) for name in todo}  # what is misspelt must not cost a model load
        with files.writable(out), loaded_engine(model, settings, 0) as engine:
            for name in todo:
                results[name] = _run(engine, name, loaded[name], settings, out / Path(name).stem, wanted[name])
                print(line(name, results[name]))
    return results


def _identity(name: str, model: str, settings: EvalSettings) -> dict[str, Any]:
    task = files.text_hash(Path(name).read_text()) if Path(name).is_file() else name
    version = importlib.metadata.version("lm_eval")
    return {"task": task, "model_id": model_id(model), "limit": settings.limit, "lm_eval": version, **settings.spoken}


@cache
def _manager(index: bool) -> Any:
    """lm-eval's; to read the index of its own tasks takes seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=index)


def _load(name: str) -> list[Any]:
    """lm-eval's tasks of that name: one, or those of a group."""
    manager = _manager(index=not Path(name).is_file())
    if not Path(name).is_file() and name not in manager.task_index:
        raise UserError(
            f"unknown bench {name!r}: choose from {', '.join(BENCHES)}, or all, or a task of lm-eval "
            "(`lm-eval ls tasks` lists them), or a task's .yaml"
        )
    try:
        return list(manager.load([name])["tasks"].values())
    except Exception as error:  # of a hub, a data set or a task's own code
        raise UserError(
            f"lm-eval cannot load the task {name} ({one_line(error)}): without a network fetch its data elsewhere (`hf "
            "download --repo-type dataset NAME`) and bring that cache as HF_HOME, or name a .yaml over a file of yours"
        ) from error


def _run(
    engine: Any, name: str, tasks: list[Any], settings: EvalSettings, folder: Path, identity: dict[str, Any]
) -> Result:
    from lm_eval import simple_evaluate

    try:
        found = simple_evaluate(
            model=engine,
            tasks=tasks,
            task_manager=_manager(index=False),  # else it reads the index once more, for each task
            limit=settings.limit,
            batch_size=settings.batch_size,
            apply_chat_template=True,
            system_instruction=settings.chat.system if settings.chat else None,
        )
    except (NotImplementedError, ValueError) as error:
        raise UserError(f"lm-eval cannot evaluate {name} on this model ({one_line(error)})") from error
    assert found is not None  # it is on the other processes of several
    samples = [
        {"task": task, "doc_id": one["doc_id"], "doc": one["doc"], "target": str(one["target"]), "replies": _said(one)}
        for task, rows in found["samples"].items()
        for one in rows
    ]
    result = {
        "task": name,
        "metrics": {task: _metrics(values) for task, values in found["results"].items()},
        "n": len(samples),
        "leakage": leakage.search([one["doc"] for one in samples], [one["replies"] for one in samples]),
        "identity": identity,
    }
    files.write(folder / "lm_eval_samples.jsonl", "".join(json.dumps(one, default=str) + "\n" for one in samples))
    files.write_json(folder / "lm_eval.json", result)  # last: a folder that has it is complete
    return result


def _said(sample: dict[str, Any]) -> list[str]:
    """The replies to one document; none where a task compares log-likelihoods."""
    return [said for reply in sample["resps"] for said in reply if isinstance(said, str)]


def _metrics(values: dict[str, Any]) -> dict[str, float]:
    """`metric,filter` -> value, with lm-eval's standard errors beside it."""
    return {name: float(value) for name, value in values.items() if "," in name and isinstance(value, int | float)}


def line(name: str, result: Result) -> str:
    """A result as one line for people."""
    said = []
    for task, values in result["metrics"].items():
        for key, value in values.items():
            metric, _, kind = key.partition(",")
            if metric.endswith("_stderr"):
                continue
            error = values.get(f"{metric}_stderr,{kind}")
            label = metric if kind == "none" else f"{metric} ({kind})"
            more = "" if task == Path(name).stem or len(result["metrics"]) == 1 else f"{task} "
            said.append(f"{more}{label} {value:.4g}" + ("" if error is None else f" +- {error:.2g}"))
    leaked = {key: found for key, found in result["leakage"].items() if found["n"]}
    leaks = [f"{key} in {len(found['found'])} of {found['n']} replies" for key, found in leaked.items()]
    return f"{Path(name).stem}: {', '.join([*said, *leaks])} (lm-eval, {result['n']} documents)"
