"""Token credit of a run's rollouts: tables and heat maps of an item, or how well credit finds slips."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pyarrow

from eval.core import files
from eval.core.errors import UserError
from eval.core.tables import write_parquet
from methods import Method
from runners.credit import heat
from runners.credit.groups import groups, items_named, models_of, problem_of, recorded, recorded_groups, step_of
from runners.credit.localise import Marks, kept, localised, marks
from runners.credit.tokens import Models, Read, Replies, read, token_credit, told, untold
from runners.data.rewards import is_right
from runners.data.treatment import wrong_answers
from runners.run.registry import build_method
from runners.run.run_dir import RunDir

Methods = dict[str, Method]


def methods_of(run: RunDir, names: str | None) -> Methods:
    """The run's own method with its parameters, or others with their defaults."""
    settings = run.settings()
    if names is None:
        return {settings.method: build_method(settings.method, settings.params)}
    return {name: build_method(name, {}) for name in names.split(",")}


def show(run: RunDir, methods: Methods, item: str, checkpoint: int, text: str | None) -> Path:
    """`credit/<item>/`: a token table for each method, heat.html and heat.png; of its recorded group, or of one's
    own reply, whose advantage is 1 where it is right and -1 where not."""
    settings = run.settings()
    if text is None:
        rollouts = recorded(run, step_of(run, item))
        (group,) = groups(settings, rollouts[rollouts["id"] == item], 1)
    else:
        (found,) = items_named(settings, [item])
        right = is_right(text, found.answer)
        group = Replies(found, [text], [float(right)], [1.0 if right else -1.0])
    models = models_of(run, settings, checkpoint)
    student = untold(models, group)
    frames = {
        name: token_credit(method, models.processor, group, read(method, models, group, student, told(method, group)))
        for name, method in methods.items()
    }
    folder = run.path / "credit" / f"{item}{'' if text is None else '-own'}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        write_parquet(folder / f"{name}.parquet", pyarrow.Table.from_pandas(frame, preserve_index=False))
    files.write(folder / "heat.html", heat.page(frames, f"Token credit, {item}, checkpoint {checkpoint}"))
    heat.picture(frames, folder / "heat.png")
    return folder


Frames = dict[str, dict[str, list[pd.DataFrame]]]  # by method and kind (`_credits`), one a group


def localise(runs: Sequence[RunDir], methods: Methods, checkpoint: int, n: int) -> dict[str, dict[str, Any]]:
    """By method, how credit and slips fall together on up to `n` recorded groups of each run, with its controls: of all
    groups together. Each run's own numbers are kept in its `credit/localisation.json` by checkpoint. Raises UserError
    for data that is not drawn."""
    together: Frames = {name: {} for name in methods}
    known: list[list[Marks]] = []
    for run in runs:
        frames, of_run = _looked(run, methods, checkpoint, n)
        path = run.path / "credit" / "localisation.json"
        stored = files.read_object(path) or {}
        stored[str(checkpoint)] = stored.get(str(checkpoint), {}) | _numbers(frames, of_run)
        path.parent.mkdir(exist_ok=True)
        files.write_json(path, stored)
        known += of_run
        for name, kinds in frames.items():
            for kind, found in kinds.items():
                together[name].setdefault(kind, []).extend(found)
    return _numbers(together, known)


def _looked(run: RunDir, methods: Methods, checkpoint: int, n: int) -> tuple[Frames, list[list[Marks]]]:
    """Every method's credit on the run's groups, and what is known of their replies."""
    settings = run.settings()
    chosen = recorded_groups(run, checkpoint, n, lively=True)
    known: list[list[Marks]] = []
    for group in chosen:
        if (problem := problem_of(settings, group.item.id)) is None:
            raise UserError(f"nobody knows the slips of {settings.data.source}: localisation needs drawn problems")
        known.append([marks(problem, reply) for reply in group.replies])
    models = models_of(run, settings, checkpoint)
    frames: Frames = {name: {} for name in methods}
    for group in chosen:
        student = untold(models, group)
        for name, method in methods.items():
            for kind, frame in _credits(method, models, group, student):
                frames[name].setdefault(kind, []).append(frame)
    return frames, known


def _credits(method: Method, models: Models, group: Replies, student: Read) -> Iterator[tuple[str, pd.DataFrame]]:
    """The credit of a group's tokens: as trained (""), told a wrong answer, and without the clip."""
    own = told(method, group)
    said = read(method, models, group, student, own)
    yield "", token_credit(method, models.processor, group, said)
    wrong = wrong_answers(group.item.answer, Random(f"credit-{group.item.id}"))  # the same for the whole group
    misled = told(method, group, wrong[0] if wrong else "?")
    if misled != own:  # a method that shows siblings tells the same
        frame = token_credit(method, models.processor, group, read(method, models, group, student, misled))
        yield "_wrong_reference", frame
    if method.credit_uses_teacher and any(f.name == "clip" for f in fields(method)):
        free = replace(method, clip=1e9)  # type: ignore[call-arg]
        yield "_unclipped", token_credit(free, models.processor, group, said)


OF_KIND = {"_wrong_reference": ("auc", "auc_stated"), "_unclipped": ("auc", "auc_stated", "share")}


def _numbers(frames: Frames, known: list[list[Marks]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, kinds in frames.items():
        found[name] = {}
        for kind, of_groups in kinds.items():
            of_kind = localised(of_groups, known)._asdict()
            found[name] |= {f"{key}{kind}": of_kind[key]._asdict() for key in OF_KIND.get(kind, of_kind)}
        if "_unclipped" in kinds:
            found[name]["kept"] = kept(kinds[""], kinds["_unclipped"])._asdict()
    return found
