"""How much a told teacher knows: I(Y;R|X), and its share of the divergence that imitation of it would have to close.

What is under the patches of a picture is the only thing about the answer R that the picture X leaves open. So R can be
enumerated: every way to fill the patches, weighed by how pictures are drawn.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import torch
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor

from eval.benches.drawn import COVERED, KINDS, Problem, question_text
from methods.words import context
from runners.data.prompts import student_text, told_text
from runners.embedded.demonstrations import Example
from runners.embedded.exact import log_probs
from runners.embedded.rows import replies


def fillings(problem: Problem) -> list[tuple[float, Problem]]:
    """Every way to fill the patches that the picture and the question allow, with its probability."""
    even, odd = COVERED  # how often such a count is covered: odd ones have a hidden shape
    covered = [i for i, group in enumerate(problem.groups[: len(KINDS[problem.kind].parsed)]) if group.covered]
    found = []
    for hidden in product((0, 1), repeat=len(covered)):
        groups = list(problem.groups)
        for i, more in zip(covered, hidden, strict=True):
            groups[i] = replace(groups[i], count=groups[i].visible + more)
        counts = [group.count for group in groups]
        # Questions are asked so that nothing falls below zero, which rules some fillings out.
        below = problem.kind == "difference" and counts[0] < counts[1]
        if not below and not (problem.kind == "minus" and counts[2] > min(counts)):
            chance = math.prod(odd if more else even for more in hidden)
            found.append((chance, replace(problem, groups=tuple(groups))))
    total = sum(chance for chance, _ in found)
    return [(chance / total, filled) for chance, filled in found]


def possible_answers(problem: Problem) -> dict[str, float]:
    """P(R | X): each answer that the picture and the question allow, with its probability."""
    found: dict[str, float] = {}
    for chance, filled in fillings(problem):
        found[filled.answer] = found.get(filled.answer, 0.0) + chance
    return found


def information(
    model: Qwen3VLForConditionalGeneration, processor: Qwen3VLProcessor, problems: Sequence[Problem]
) -> dict[str, float]:
    """Nats a token of a chain Y that is sampled by the model told the right answer.

    Replies that say aloud what they were told are left out, and the first token, which decides that, is taken as given:
    a phrase that no untold reply has would be most of the divergence, and says nothing about the chain.
    """
    untold = [student_text(question_text(problem)) for problem in problems]
    answers = [possible_answers(problem) for problem in problems]

    def told(i: int, answer: str, reply: str = "") -> Example:
        return Example(told_text(untold[i], context("answer", answer)), reply, problems[i])

    texts = replies(model, processor, [told(i, p.answer) for i, p in enumerate(problems)], sample=True)
    silent = [i for i, text in enumerate(texts) if text.startswith("I ")]
    rows = [told(i, answer, texts[i]) for i in silent for answer in answers[i]]
    scores = iter(log_probs(model, processor, rows, after=1))
    student = log_probs(model, processor, [Example(untold[i], texts[i], problems[i]) for i in silent], after=1)
    tokens = sum(len(processor.tokenizer(texts[i])["input_ids"]) for i in silent)
    shared = divergence = 0.0
    for place, i in enumerate(silent):
        by_answer = {answer: next(scores) for answer in answers[i]}
        mixed = torch.tensor([math.log(answers[i][a]) + logp for a, logp in by_answer.items()]).logsumexp(0).item()
        shared += by_answer[problems[i].answer] - mixed
        divergence += by_answer[problems[i].answer] - student[place]
    if not silent:
        return {}
    return {
        "I(Y;R|X) a token": round(shared / tokens, 5),
        "KL(told ∥ untold) a token": round(divergence / tokens, 5),
        "share of the KL": round(shared / divergence, 3),
    }
