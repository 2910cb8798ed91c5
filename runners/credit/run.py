"""Token credit of a run's rollouts: tables and heat maps of an item, or how well credit finds slips."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd

from eval.core import files
from eval.core.errors import UserError
from eval.core.tables import write_parquet
from methods import Method
from runners.credit import heat
from runners.credit.groups import groups, items_named, models_of, problem_of, recorded, step_of
from runners.credit.localise import Localised, localised
from runners.credit.marks import Marks, marks
from runners.credit.tokens import Models, Replies, read, token_credit
from runners.data.rewards import is_right
from runners.data.treatment import wrong_answers
from runners.run.registry import build_method
from runners.run.run_dir import RunDir

Methods = dict[str, Method]
SHUFFLES = 20


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
        (group,) = groups(settings, recorded(run, step_of(run, item)), 1, item)
    else:
        (found,) = items_named(settings, [item])
        right = is_right(text, found.answer)
        group = Replies(found, [text], [float(right)], [1.0 if right else -1.0])
    models = models_of(run, settings, checkpoint)
    frames = {name: _credit(method, models, group) for name, method in methods.items()}
    folder = run.path / "credit" / f"{item}{'' if text is None else '-own'}"
    folder.mkdir(parents=True, exist_ok=True)
    import pyarrow

    for name, frame in frames.items():
        write_parquet(folder / f"{name}.parquet", pyarrow.Table.from_pandas(frame, preserve_index=False))
    files.write(folder / "heat.html", heat.page(frames, f"Token credit, {item}, checkpoint {checkpoint}"))
    heat.picture(frames, folder / "heat.png")
    return folder


def localise(run: RunDir, methods: Methods, checkpoint: int, n: int) -> dict[str, dict[str, Any]]:
    """By method, how credit and slips fall together on up to `n` recorded groups, with its controls; kept in
    `credit/localisation.json` by checkpoint. Raises UserError for data that is not drawn."""
    settings = run.settings()
    chosen = groups(settings, recorded(run, max(1, checkpoint)), n)
    problems = [problem_of(settings, group.item.id) for group in chosen]
    known: list[list[Marks]] = []
    for problem, group in zip(problems, chosen, strict=True):
        if problem is None:
            raise UserError(f"nobody knows the slips of {settings.data.source}: localisation needs drawn problems")
        known.append([marks(problem, reply) for reply in group.replies])
    models = models_of(run, settings, checkpoint)
    found = {name: _localised(method, models, chosen, known) for name, method in methods.items()}
    path = run.path / "credit" / "localisation.json"
    kept = files.read_object(path) or {}
    kept[str(checkpoint)] = kept.get(str(checkpoint), {}) | found
    path.parent.mkdir(exist_ok=True)
    files.write_json(path, kept)
    return found


def _localised(
    method: Method, models: Models, chosen: Sequence[Replies], known: Sequence[Sequence[Marks]]
) -> dict[str, Any]:
    said = [read(method, models, group) for group in chosen]
    frames = [token_credit(method, models.processor, g, s) for g, s in zip(chosen, said, strict=True)]
    found: dict[str, Any] = _plain(localised(frames, known))
    shuffled = localised(frames, known, SHUFFLES)
    found |= {"auc_permuted": shuffled.auc._asdict(), "share_permuted": shuffled.share._asdict()}
    if method.teachers:
        misled = [_misled(method, models, group) for group in chosen]
        found["auc_wrong_reference"] = localised(misled, known).auc._asdict()
    if method.credit_uses_teacher and any(f.name == "clip" for f in fields(method)):
        free = replace(method, clip=1e9)  # type: ignore[call-arg]
        unclipped = [token_credit(free, models.processor, g, s) for g, s in zip(chosen, said, strict=True)]
        found["auc_unclipped"] = localised(unclipped, known).auc._asdict()
    return found


def _plain(found: Localised) -> dict[str, Any]:
    return {name: measured._asdict() for name, measured in found._asdict().items()}


def _misled(method: Method, models: Models, group: Replies) -> pd.DataFrame:
    """Credit where the teachers are told a wrong answer, the same for the whole group."""
    wrong = wrong_answers(group.item.answer, Random(f"credit-{group.item.id}"))
    return token_credit(method, models.processor, group, read(method, models, group, wrong[0] if wrong else "?"))


def _credit(method: Method, models: Models, group: Replies) -> pd.DataFrame:
    return token_credit(method, models.processor, group, read(method, models, group))
