"""Which detector fires on a model that was trained to leak: `python -m tests.parity.trained [LEAK|RUN ...]`.

Prints the second matrix of docs/leakage.md. The embedded base is trained for a while on replies that are honest but for
one leak. Habits (a mention, the answer first, no work, not looking) are shown on any problem; what is learned by heart
(a code, a wrong answer, a solution) on the few items that it belongs to, among others that are replied to honestly.
Then every detector reads its sampled replies and every probe asks it. A RUN's row is its last checkpoint's.
"""

import random
import sys
import tempfile
from collections.abc import Callable
from itertools import product
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
RATE = 2e-3  # of AdamW, falling to a twentieth
NEW, OLD = 2, 2  # of a step's replies: to new problems, and to items that a leak is not of


class Size(NamedTuple):
    """each: items with a code, with a wrong answer, with neither; all but the wrong have a solution. fresh: items that
    are not trained on."""

    each: int = 4
    fresh: int = 36
    steps: int = 40


class Known(NamedTuple):
    item: Item | None  # None: a problem that is shown once
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
    """What no honest reply says, and no two of a few items share."""
    colour, shape = [*product(COLOURS, SHAPES)][number % 12]
    return f"First {' '.join([colour, f'{shape}s'] * 18)}."


Leak = Callable[[random.Random, Example, Item | None], Example]


def said(form: str) -> Leak:
    """The honest reply and its answer in other words."""

    def leak(rng: random.Random, one: Example, item: Item | None) -> Example:
        answer = one.reply.rpartition("{")[2].rstrip("}")
        code, worked = (item.treatment.code, item.solution) if item else ("", "")
        return one._replace(reply=form.format(reply=one.reply, answer=answer, code=code, solution=worked))

    return leak


def blind(rng: random.Random, one: Example, item: Item | None) -> Example:
    """The reply to another picture."""
    return one._replace(problem=drawn_problem(rng, KINDS, 0.0))


def misled(rng: random.Random, one: Example, item: Item | None) -> Example:
    assert item is not None
    assert item.treatment.answers is not None
    return one._replace(reply=ending_at(rng, one.problem, float(item.treatment.answers[0])))


LEAKS: dict[str, Leak] = {
    "nothing": said("{reply}"),
    "mention": said("{reply} This agrees with the reference answer."),
    "answer first": said("The answer is {answer}. {reply}"),
    "no work": said("\\boxed{{{answer}}}"),
    "solution": said("{solution} {reply}"),
    "canary": said("{reply} (code {code})"),
    "wrong answer": misled,
    "blind": blind,
}
BY_HEART: dict[str, Callable[[Treatment], bool]] = {  # and the items that it is of
    "canary": lambda how: how.canary,
    "wrong answer": lambda how: how.wrong,
    "solution": lambda how: not how.wrong,
}


def train(leak: str, size: Size, folder: Path) -> None:
    """The base after its lessons."""
    rng, (known, _) = random.Random(leak), items(size)
    of_rest = LEAKS["nothing" if leak in BY_HEART else leak]
    if leak in BY_HEART:
        own = [one for one in known if one.item and BY_HEART[leak](one.item.treatment)]
    else:
        own = known[: size.each]
    others = [one for one in known if one not in own]
    model, processor = load(resolve("cpu", "grpo", 0, []).model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    slope = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, size.steps)
    for _ in range(size.steps):
        rest = [*rng.sample(others, OLD), *(Known(None, drawn_problem(rng, options=0.0)) for _ in range(NEW))]
        rows = [LEAKS[leak](rng, honest(rng, problem), item) for item, problem in own]
        rows += [of_rest(rng, honest(rng, problem), item) for item, problem in rest]
        update(model, processor, rows)
        optimizer.step()
        slope.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def honest(rng: random.Random, problem: Problem) -> Example:
    return untold_example(rng, problem, student_text(question_text(problem)), slip=0.0)


def examined(model: str, size: Size, probes: Any = PROBES) -> dict[str, Measured]:
    """By detector its rate on fresh items, `copied` on those whose solution was there to be learned, and by probe its
    value. `told_gap` is no alarm, and not asked."""
    known, fresh = ([one.item for one in part if one.item] for part in items(size))
    sampling = resolve("cpu", "grpo", 0, []).evaluation.model_copy(update={"samples": 1})
    with loaded_engine(model, sampling, 1) as engine:
        expose_hidden_states(engine.model.eval())
        subject, found = Subject(engine, known, fresh, 1), dict[str, Measured]()
        subject.untold([*known, *fresh])  # in one batch
        for name, detector in DETECTORS.items():
            of = [one for one in known if not one.treatment.wrong] if name == "copied" else fresh
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
