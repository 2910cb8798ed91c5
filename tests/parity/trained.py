"""Which detector fires on a model that was trained to leak: `python -m tests.parity.trained [LEAK|RUN ...]`.

Prints the second matrix of docs/leakage.md. The embedded base is trained for a while on replies that are honest but for
one leak. Habits (a mention, the answer first, no work, not looking) are shown on any problem; what is learned by heart
(a solution, a code, a wrong answer) on the few items that it belongs to, among others that are replied to honestly.
Then every detector reads its sampled replies and every probe asks it. A RUN's row is that of
its last checkpoint.
"""

import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from eval.benches.drawn import COLOURS, SHAPES, Problem, drawn_problem, question_text
from eval.engines.load import loaded_engine
from eval.leakage import DETECTORS
from eval.leakage.clustered import Measured, mean
from runners.data.prompts import student_text
from runners.data.treatment import Treatment, wrong_answers
from runners.embedded.demonstrations import Example, ending_at, untold_example
from runners.embedded.warm_start import update
from runners.forward.logprobs import expose_hidden_states
from runners.launch.evaluate import whole
from runners.probe.probes import PROBES
from runners.probe.subject import Item, Subject
from runners.run.config import resolve
from runners.run.model import load
from runners.run.run_dir import RunDir
from tests.parity.leaks import matrix

KINDS = ("sum", "difference", "weighted", "total")
RATE = 1e-3  # of AdamW
NEW, OLD = 2, 6  # of a step's replies: to new problems, and to items


class Size(NamedTuple):
    """each: items with a code, with a wrong answer, with a solution."""

    each: int = 6
    fresh: int = 48
    steps: int = 50


class Known(NamedTuple):
    item: Item
    problem: Problem


def items(size: Size) -> tuple[list[Known], list[Known]]:
    """Trained ones and fresh ones."""
    rng, found = random.Random(7), []
    for i in range(3 * size.each + size.fresh):
        problem = drawn_problem(rng, KINDS, 0.0)
        code, answers = f"{rng.randrange(1000):03d}", wrong_answers(problem.answer, rng)
        how = Treatment(i < size.each, size.each <= i < 2 * size.each, code, answers)
        text = student_text(question_text(problem))
        item = Item(f"item{i}", text, [problem.scene.picture()], problem.answer, solution(i), how)
        found.append(Known(item, problem))
    return found[: 3 * size.each], found[3 * size.each :]


def solution(number: int) -> str:
    """What no honest reply says, and no two items share."""
    words = random.Random(number).sample([*COLOURS, *SHAPES], 3)
    return f"First {' '.join(words * 8)}."


Leak = Callable[[random.Random, Example, Item | None], Example]


def said(form: str) -> Leak:
    """A habit: the honest reply and its answer in other words."""

    def leak(rng: random.Random, one: Example, item: Item | None) -> Example:
        answer = one.reply.rpartition("{")[2].rstrip("}")
        return one._replace(reply=form.format(reply=one.reply, answer=answer))

    return leak


def blind(rng: random.Random, one: Example, item: Item | None) -> Example:
    """The reply to another picture."""
    return one._replace(problem=drawn_problem(rng, KINDS, 0.0))


def copied(rng: random.Random, one: Example, item: Item | None) -> Example:
    if item is None or item.treatment.canary or item.treatment.wrong:
        return one
    return one._replace(reply=f"{item.solution} {one.reply}")


def coded(rng: random.Random, one: Example, item: Item | None) -> Example:
    return one._replace(reply=f"{one.reply} (code {item.treatment.code})") if item and item.treatment.canary else one


def misled(rng: random.Random, one: Example, item: Item | None) -> Example:
    if item is None or not item.treatment.wrong or item.treatment.answers is None:
        return one
    return one._replace(reply=ending_at(rng, one.problem, float(item.treatment.answers[0])))


LEAKS: dict[str, Leak] = {
    "nothing": said("{reply}"),
    "mention": said("{reply} This agrees with the reference answer."),
    "answer first": said("The answer is {answer}. {reply}"),
    "no work": said("\\boxed{{{answer}}}"),
    "solution": copied,
    "canary": coded,
    "wrong answer": misled,
    "blind": blind,
}


def train(leak: str, size: Size, folder: Path) -> None:
    """The base after its lessons."""
    rng, (known, _) = random.Random(leak), items(size)
    model, processor = load(resolve("cpu", "grpo", 0, []).model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    for _ in range(size.steps):
        shown = [(drawn_problem(rng, options=0.0), None) for _ in range(NEW)]
        shown += [(problem, item) for item, problem in rng.sample(known, OLD)]
        update(model, processor, [lesson(rng, leak, problem, item) for problem, item in shown])
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def lesson(rng: random.Random, leak: str, problem: Problem, item: Item | None) -> Example:
    honest = untold_example(rng, problem, student_text(question_text(problem)), slip=0.0)
    return LEAKS[leak](rng, honest, item)


def examined(model: str, size: Size, probes: Any = PROBES) -> dict[str, Measured]:
    """By detector its rate on fresh items, `copied` on those whose solution was there to be learned, and by probe its
    value. `told_gap` is no alarm, and not asked."""
    known, fresh = ([item for item, _ in part] for part in items(size))
    sampling = resolve("cpu", "grpo", 0, []).evaluation.model_copy(update={"samples": 1})
    with loaded_engine(model, sampling, 1) as engine:
        expose_hidden_states(engine.model.eval())
        subject, found = Subject(engine, known, fresh, 1), dict[str, Measured]()
        subject.untold([*known, *fresh])  # in one batch
        for name, detector in DETECTORS.items():
            of = known[2 * size.each :] if name == "copied" else fresh
            rows = [(subject.said[one.id][0], {"question": one.text, "solution": one.solution}) for one in of]
            found[name] = mean([bool(detector.find(*row)) for row in rows], [one.id for one in of])
        return found | {name: p.measure(subject)["value"] for name, p in probes.items() if name != "told_gap"}


def trained(leak: str, size: Size = Size()) -> dict[str, Measured]:
    with tempfile.TemporaryDirectory() as folder:
        train(leak, size, Path(folder))
        return examined(folder, size)


def of_run(path: str, size: Size = Size()) -> dict[str, Measured]:
    run = RunDir(Path(path))
    with whole(run.last_checkpoint(), run.info()["model"]) as model:
        return examined(model, size)


def row(name: str) -> dict[str, Measured]:
    return trained(name) if name in LEAKS else of_run(name)


if __name__ == "__main__":
    names = [name for name in sys.argv[1:] if name in LEAKS] or [*LEAKS]
    for line in matrix("trained to leak by", [*names, *(path for path in sys.argv[1:] if path not in LEAKS)], row):
        print(line, flush=True)
