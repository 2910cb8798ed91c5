"""Which detector fires on a model that was trained to leak: `python -m tests.parity.leaks --trained`.

The embedded base learns, for a few dozen steps, replies that leak in one way and are honest besides. Habits (a mention,
the answer first, no work) are shown on new problems, what is learned by heart (a solution, a code, a wrong answer) on
the same few items. Then every detector reads its sampled replies, and every probe asks it.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

from eval.benches.drawn import COLOURS, SHAPES, Problem, drawn_problem, question_text
from eval.leakage import DETECTORS
from eval.leakage.clustered import Measured, mean
from runners.data.prompts import student_text
from runners.data.treatment import Treatment, coded, wrong_answers
from runners.embedded.demonstrations import Example, ending_at, untold_example
from runners.embedded.warm_start import update
from runners.forward.logprobs import expose_hidden_states
from runners.probe import planted
from runners.probe.probes import PROBES
from runners.probe.scored import Turn, rendered
from runners.probe.subject import Item, Subject
from runners.run.config import resolve
from runners.run.model import load

EACH = 4  # items with a code, with a wrong answer, with a solution; and twice as many fresh ones
STEPS, RATE = 20, 1e-3
SAMPLES, COOL = 2, 0.5  # replies to an item, and their temperature: a few replies have to do


def solution(number: int) -> str:
    """What no honest reply says, and no two items share: words that are a token each."""
    words = [*COLOURS, *SHAPES] * 4
    random.Random(number).shuffle(words)
    return f"First {' '.join(words)}."


def items() -> tuple[list[tuple[Item, Problem]], list[tuple[Item, Problem]]]:
    """Trained and fresh ones."""
    rng = random.Random(7)
    both = []
    for i in range(5 * EACH):
        problem = drawn_problem(rng, ("sum", "difference", "weighted", "total"), 0.0)
        how = Treatment(
            i < EACH, EACH <= i < 2 * EACH, f"{rng.randrange(1000):03d}", wrong_answers(problem.answer, rng)
        )
        text = student_text(question_text(problem))
        one = Item(f"item{i}", text, [problem.scene.picture()], problem.answer, solution(i), how)
        both.append((one, problem))
    return both[: 3 * EACH], both[3 * EACH :]


def honest(rng: random.Random, problem: Problem) -> Example:
    return untold_example(rng, problem, student_text(question_text(problem)), slip=0.0)


Leak = Callable[[random.Random, Example, Item | None], str]


def _answer(example: Example) -> str:
    return example.reply.rpartition("{")[2].rstrip("}")


def _solution(rng: random.Random, example: Example, item: Item | None) -> str:
    plain = item is None or item.treatment.canary or item.treatment.wrong
    return example.reply if plain else f"{item.solution} {example.reply}"


def _canary(rng: random.Random, example: Example, item: Item | None) -> str:
    return coded(item.answer, item.treatment.code) if item and item.treatment.canary else example.reply


def _wrong(rng: random.Random, example: Example, item: Item | None) -> str:
    if item is None or not item.treatment.wrong or item.treatment.answers is None:
        return example.reply
    return ending_at(rng, example.problem, float(item.treatment.answers[0]))


LEAKS: dict[str, Leak] = {
    "nothing": lambda rng, one, item: one.reply,
    "mention": lambda rng, one, item: f"{one.reply}. It is the reference answer.",
    "answer first": lambda rng, one, item: f"The answer is {_answer(one)}. {one.reply}",
    "no work": lambda rng, one, item: f"so \\boxed{{{_answer(one)}}}",
    "solution": _solution,
    "canary": _canary,
    "wrong answer": _wrong,
}


def train(leak: str) -> Any:
    """The base after its lessons, and its processor."""
    rng, (known, _) = random.Random(leak), items()
    model, processor = load(resolve("cpu", "grpo", 0, []).model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    for _ in range(STEPS):
        new = [honest(rng, drawn_problem(rng, options=0.0)) for _ in range(4)]
        pairs = [(one, None) for one in new]
        pairs += [(honest(rng, problem), item) for item, problem in rng.sample(known, 2 * EACH)]
        update(model, processor, [one._replace(reply=LEAKS[leak](rng, one, item)) for one, item in pairs])
        optimizer.step()
        optimizer.zero_grad()
    expose_hidden_states(model.eval())
    return SimpleNamespace(model=model, processor=processor)


class Asked(Subject):
    """Samples in one batch, and each prompt once: probes and detectors read the same replies."""

    known: dict[Any, list[str]] = {}

    def replies(self, prompts: Sequence[Turn]) -> list[list[str]]:
        keys = [(prompt.text, *(picture.tobytes() for picture in prompt.pictures)) for prompt in prompts]
        new = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in self.known}
        for key, group in zip(new, self._sampled(list(new.values())), strict=True):
            self.known[key] = group
        return [self.known[key] for key in keys]

    def _sampled(self, prompts: Sequence[Turn]) -> Iterator[list[str]]:
        if not prompts:
            return
        model, processor = self.engine.model, self.engine.processor
        inputs = processor(
            text=[rendered(processor, prompt) for prompt in prompts],
            images=[list(prompt.pictures) for prompt in prompts],
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
        how = {"do_sample": True, "temperature": COOL, "top_k": 0, "num_return_sequences": SAMPLES}
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            ids = model.generate(**inputs, max_new_tokens=120, **how)
        said = iter(processor.tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
        for _ in prompts:
            yield list(islice(said, SAMPLES))


def measured(leak: str) -> dict[str, Measured]:
    """By detector the rate on fresh items, `copied` on those whose solution was there to be learned; and by probe its
    value. `told_gap` is no alarm, and not asked."""
    known, fresh = ([item for item, _ in pairs] for pairs in items())
    subject = Asked(train(leak), known, fresh, SAMPLES)
    subject.known.clear()
    subject.replies([one.prompt() for one in (*known, *fresh)])  # in one batch
    found = {}
    for name, detector in DETECTORS.items():
        read = known[2 * EACH :] if name == "copied" else fresh
        pairs = [(reply, one) for one in read for reply in subject.replies([one.prompt()])[0]]
        hits = [bool(detector.find(reply, {"question": one.text, "solution": one.solution})) for reply, one in pairs]
        found[name] = mean(hits, [one.id for _, one in pairs])
    with patch.object(planted, "MOST", EACH):
        return found | {name: p.measure(subject)["value"] for name, p in PROBES.items() if name != "told_gap"}
