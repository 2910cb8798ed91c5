"""What an embedded base can do, measured and written beside its weights: `card.json` and `README.md`."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor

from eval.benches.drawn import KINDS, Problem, drawn_problem, question_text
from eval.benches.written import skips_work, statements
from eval.core import files
from methods.words import context
from runners.data.prompts import student_text, told_text
from runners.embedded.demonstrations import Example, bench_examples, drawn_benches, wrong_end
from runners.embedded.exact import exact_score, held_out
from runners.embedded.information import information
from runners.embedded.rows import replies

TOLD = {
    "nothing": "",
    "the right answer": "answer",
    "a wrong answer": "answer",
    "another problem's answer": "answer",
    '"?"': "answer",
    "a right solution": "solution",
    "a wrong solution": "solution",
}


def right(example: Example, reply: str) -> bool:
    return ends_at(reply, example.problem.answer)


def ends_at(reply: str, answer: str) -> bool:
    return f"\\boxed{{{answer}}}" in reply


def mentions(reply: str) -> bool:
    return "reference answer" in reply or "correct solution" in reply


def references(problems: Sequence[Problem], told: str) -> list[tuple[str, str]]:
    """What each problem's teacher is told, as an answer and as a solution."""
    rng = random.Random(-2)
    found = []
    for i, problem in enumerate(problems):
        steps, value = problem.chain(way=rng.choice(problem.ways))
        if "wrong" in told:
            steps, value = wrong_end(rng, problem)
        elif "another" in told:  # the next one's, of like form
            rest = [*problems[i + 1 :], *problems[:i]]
            problem = next(p for p in rest if bool(p.options) == bool(problem.options) and p.answer != problem.answer)
            steps, value = problem.chain()
        answer = "?" if told == '"?"' else problem.conclude(value)
        found.append((answer, problem.finish(steps, value)))
    return found


def told_examples(problems: Sequence[Problem], told: str) -> tuple[list[Example], list[str]]:
    """The prompts of one row of the card, and the answers that they tell."""
    batch, answers = [], []
    for problem, (answer, solution) in zip(problems, references(problems, told), strict=True):
        text = student_text(question_text(problem))
        if kind := TOLD[told]:
            text = told_text(text, context(kind, answer if kind == "answer" else solution))
        batch.append(Example(text, "", problem))
        answers.append(answer)
    return batch, answers


def share(of: Iterable[bool]) -> float:
    found = [float(value) for value in of]
    return round(mean(found), 3) if found else 0.0


def measure(model: Qwen3VLForConditionalGeneration, processor: Qwen3VLProcessor, n: int) -> dict[str, Any]:
    """All of the card, on n fresh problems of the training distribution and another edition of every mini bench."""
    rng = random.Random(-1)
    problems = [drawn_problem(rng) for _ in range(n)]
    model.eval()
    card: dict[str, Any] = {"problems": n, "references": {}}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for told in TOLD:
            batch, answers = told_examples(problems, told)
            texts = replies(model, processor, batch, sample=True)
            card["references"][told] = {
                "right": share(map(right, batch, texts)),
                "follows": share(map(ends_at, texts, answers)) if told not in ("nothing", '"?"') else None,
                "without a slip": share(
                    not any(s.slip for s in statements(e.problem, t)) for e, t in zip(batch, texts, strict=True)
                ),
                "mentions": share(map(mentions, texts)),
                "skips the work": share(map(skips_work, texts)),
            }
            if told == "nothing":
                found = {"greedy": replies(model, processor, batch, sample=False), "sampled": texts}
        kinds = {k: [i for i, p in enumerate(problems) if p.kind == k] for k in KINDS}
        ended = {how: [*map(ends_at, texts, (p.answer for p in problems))] for how, texts in found.items()}
        card["kinds"] = {
            k: {how: share(values[i] for i in own) for how, values in ended.items()} for k, own in kinds.items() if own
        }
        card |= {how: share(values) for how, values in ended.items()}
        card["benches"] = {}
        for bench in drawn_benches():
            batch = bench_examples(rng, bench, -1)
            card["benches"][bench.name] = {
                how: share(map(right, batch, replies(model, processor, batch, how == "sampled")))
                for how in ("greedy", "sampled")
            }
        card["exact"] = round(exact_score(model, processor, held_out(200)).score, 4)
        card["information"] = information(model, processor, problems[: n // 2])
    return card


def write_card(folder: Path, recipe: dict[str, Any], n: int = 300) -> dict[str, Any]:
    """Measure the base in `folder` and write its card; `recipe` is how it was made."""
    model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    card = {**recipe, **measure(model, Qwen3VLProcessor.from_pretrained(folder), n)}
    files.write_json(folder / "card.json", card)
    files.write(folder / "README.md", page(card))
    return card


def page(card: dict[str, Any]) -> str:
    told = card["references"]
    columns = list(told["nothing"])
    recipe = ", ".join(f"{k} {v}" for k, v in card.items() if k in RECIPE and not isinstance(v, dict))
    parts = [
        "# Embedded base model",
        "A tiny Qwen3-VL warm-started on drawn visual arithmetic by `cli.py base`; it knows nothing else. Written by "
        f"`cli.py base --card`.\n\nRecipe: {recipe}.",
        f"Shares of {card['problems']} fresh problems of the training distribution, sampled at temperature 1, by what "
        "the prompt tells. `follows`: the reply's box holds the reference that was told. A slip: a shape, number or "
        "letter that is not the right one given what came before (`eval/benches/written.py`).",
        table("told", columns, {name: [row[c] for c in columns] for name, row in told.items()}),
        "Right by kind of problem, and by mini bench (another edition than the one that is scored).",
        table("of", ["greedy", "sampled"], rates(card)),
        "Exact score (`cli.py exact`), and what the reference tells the chain: I(Y;R|X) by enumeration of what may be "
        "under the patches, against KL(told ∥ untold), in nats, over told replies that say nothing aloud.",
        table(
            "measured", ["value"], {"exact score": [card["exact"]], **{k: [v] for k, v in card["information"].items()}}
        ),
    ]
    return "\n\n".join(parts) + "\n"


RECIPE = ("steps", "seed", "demonstrations", "start")


def rates(card: dict[str, Any]) -> dict[str, list[float]]:
    rows = {"all problems": card, **card["kinds"], **card["benches"]}
    return {name: [row["greedy"], row["sampled"]] for name, row in rows.items()}


def table(head: str, columns: Sequence[str], rows: dict[str, list[Any]]) -> str:
    lines = [f"| {' | '.join([head, *columns])} |", f"|{'---|' * (len(columns) + 1)}"]
    lines += [f"| {' | '.join([name, *('–' if v is None else str(v) for v in row)])} |" for name, row in rows.items()]
    return "\n".join(lines)
