"""Mini editions of the five benches: drawn visual arithmetic in each bench's official schema.

They exist so that loading, prompting, grading and aggregation run on a machine with nothing to download.
A mini score says nothing about the bench it imitates; every id starts with `mini_` to keep the two apart.
Pictures are PIL images in the column where the official set has them.
"""

import random
from collections.abc import Callable
from typing import Any

from eval.benches import BENCHES
from eval.benches.drawn import (
    LETTERS,
    Problem,
    make_problem,
    make_scene,
    number,
    with_options,
)
from eval.core.errors import UserError

Row = dict[str, Any]
Pair = tuple[Row, Problem]


def _mmmu(rng: random.Random) -> list[Pair]:
    subjects = ("Math", "Accounting", "Economics", "Physics", "Chemistry", "Design")
    rows = []
    for i in range(60):
        kind = ("sum", "difference", "weighted", "total", "both", "minus")[i // 10]
        problem = make_problem(rng, kind)
        if i % 5:
            problem = with_options(problem, 4)
        subject = subjects[i % 6]
        rows.append(
            (
                {
                    "id": f"mini_{subject}_{i // 6 + 1}",
                    "question": f"<image 1> {problem.question}",
                    "options": str(list(problem.options)),
                    "explanation": "",
                    "image_1": problem.scene.picture(),
                    **{f"image_{n}": None for n in range(2, 8)},
                    "img_type": "['Drawings']",
                    "answer": problem.answer,
                    "topic_difficulty": ("Easy", "Medium", "Hard")[i // 20],
                    "question_type": "multiple-choice" if problem.options else "open",
                    "subfield": "Visual arithmetic",
                },
                problem,
            )
        )
    return rows


_HINTS = {
    "text": "Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.",
    "integer": "Please answer the question requiring an integer answer and provide the final value, "
    "e.g., 1, 2, 3, at the end.",
    "float": "Please answer the question requiring a floating-point number with one decimal place and provide "
    "the final value, e.g., 1.2, 1.3, 1.4, at the end.",
}


def _mathvista(rng: random.Random) -> list[Pair]:
    rows = []
    for i in range(60):
        kind = ("half", "sum", "weighted", "total", "both", "minus")[i // 10]
        problem = make_problem(rng, kind)
        choices = i % 2 == 0 and kind != "half"
        if choices:
            problem = with_options(problem, 4)
        answer_type = "text" if choices else "float" if kind == "half" else "integer"
        unit = "points" if "points" in problem.question else None
        query = f"Hint: {_HINTS[answer_type]}\nQuestion: {problem.question}" + (f" (Unit: {unit})" if unit else "")
        if choices:
            query += "\nChoices:" + "".join(f"\n({LETTERS[j]}) {o}" for j, o in enumerate(problem.options))
        rows.append(
            (
                {
                    "pid": f"mini_{i + 1}",
                    "question": problem.question,
                    "image": f"images/mini_{i + 1}.png",
                    "decoded_image": problem.scene.picture(),
                    "choices": list(problem.options) or None,
                    "unit": unit,
                    "precision": 1.0 if answer_type == "float" else None,
                    "answer": number(problem.value) if answer_type != "float" else f"{problem.value:.1f}",
                    "question_type": "multi_choice" if choices else "free_form",
                    "answer_type": answer_type,
                    "metadata": {
                        "split": "mini",
                        "language": "english",
                        "img_width": 64,
                        "img_height": 64,
                        "source": "drawn",
                        "category": "math-targeted-vqa",
                        "task": "math word problem",
                        "context": "synthetic scene",
                        "grade": "elementary school",
                        "skills": ["arithmetic reasoning"],
                    },
                    "query": query,
                },
                problem,
            )
        )
    return rows


def _mathvision(rng: random.Random) -> list[Pair]:
    levels = (
        ("count", "sum"),
        ("difference", "sum"),
        ("weighted", "weighted"),
        ("total", "both"),
        ("minus", "all"),
    )
    rows = []
    for i in range(60):
        level = i // 12
        problem = make_problem(rng, levels[level][i % 2])
        if i % 4 < 2:
            problem = with_options(problem, 5)
        rows.append(
            (
                {
                    "id": f"mini_{i + 1}",
                    "question": f"{problem.question}\n<image1>",
                    "options": list(problem.options),
                    "answer": problem.answer,
                    "solution": None,
                    "level": level + 1,
                    "subject": "counting" if level < 2 else "arithmetic",
                    "image": f"images/mini_{i + 1}.png",
                    "decoded_image": problem.scene.picture(),
                },
                problem,
            )
        )
    return rows


def _zerobench_rows(rng: random.Random, main: bool) -> list[Pair]:
    rows = []
    for i in range(20):
        problem = make_problem(rng, "all")
        parts = [problem] if main else [_same(problem, k) for k in ("sum", "weighted", "both")]
        for j, part in enumerate(parts):
            rows.append(
                (
                    {
                        "question_id": f"mini_{i + 1}_main" if main else f"mini_{i + 1}_{j + 1}",
                        "question_text": part.question,
                        "question_images_decoded": [part.scene.picture()],
                        "question_answer": part.answer,
                        "question_images": [f"images/mini_{i + 1}_0.png"],
                        "image_attribution": "drawn",
                    },
                    part,
                )
            )
    return rows


def _same(problem: Problem, kind: str) -> Problem:
    """Another question about the same picture, groups and weights."""
    groups = problem.groups
    if kind == "difference" and groups[0].count < groups[1].count:
        groups = (groups[1], groups[0], groups[2])
    return Problem(problem.scene, kind, groups, problem.weights)


def _wemath(rng: random.Random) -> list[Pair]:
    plans = [("2steps", ("count", "sum"), "weighted")] * 12 + [("3steps", ("count", "sum", "weighted"), "both")] * 8
    rows = []
    for i, (prefix, steps, multi) in enumerate(plans):
        base = make_problem(rng, multi, make_scene(rng))
        for j, kind in enumerate((*steps, multi)):
            problem = with_options(_same(base, kind), 4)
            options = [*problem.options, "No correct answer"]
            rows.append(
                (
                    {
                        "ID": f"mini_{prefix}_{i + 1}",
                        "split": "mini",
                        "knowledge concept": "Visual counting" if kind == "count" else "Visual arithmetic",
                        "question": problem.question,
                        "option": ";".join(f"{LETTERS[n]}. {o}" for n, o in enumerate(options)),
                        "answer": problem.answer,
                        "image_path": problem.scene.picture(),
                        "key": f"{prefix}_multi" if j == len(steps) else f"{prefix}_{j + 1}",
                        "question number": i + 1,
                        "knowledge concept description": "",
                    },
                    problem,
                )
            )
    return rows


_MAKERS: dict[str, Callable[[random.Random], list[Pair]]] = {
    "mmmu": _mmmu,
    "mathvista": _mathvista,
    "mathvision": _mathvision,
    "zerobench": lambda rng: _zerobench_rows(rng, main=False),
    "zerobench_main": lambda rng: _zerobench_rows(rng, main=True),
    "wemath": _wemath,
}
_OTHER_SPLITS = {("zerobench", "zerobench"): "zerobench_main"}


def mini_problems(bench: str, seed: int = 0) -> list[Pair]:
    """The rows of one mini bench with the problems they state. Seed 0 is the bench; the base learns from others."""
    return _MAKERS[bench](random.Random(f"{bench}-{seed}"))


def mini_rows(bench: str, split: str | None = None) -> list[Row]:
    """The rows of one mini bench, always the same; raises UserError for a split that is not drawn."""
    own = BENCHES[bench].split
    name = bench if split in (None, own) else _OTHER_SPLITS.get((bench, str(split)))
    if name is None:
        drawn = [own, *(other for of, other in _OTHER_SPLITS if of == bench)]
        raise UserError(f"{bench}: the mini edition has no split {split}; it has {', '.join(drawn)}")
    return [row for row, _ in mini_problems(name)]
