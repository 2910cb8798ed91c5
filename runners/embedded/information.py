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

HIDDEN = COVERED[1] / sum(COVERED)  # how often there is a shape under a patch


def possible_answers(problem: Problem) -> dict[str, float]:
    """P(R | X): each answer that the picture and the question allow, with its probability."""
    used = len(KINDS[problem.kind].parsed)
    covered = [i for i, group in enumerate(problem.groups[:used]) if group.covered]
    found: dict[str, float] = {}
    for hidden in product((0, 1), repeat=len(covered)):
        groups = list(problem.groups)
        for i, more in zip(covered, hidden, strict=True):
            groups[i] = replace(groups[i], count=groups[i].visible + more)
        counts = [group.count for group in groups]
        # Questions are asked so that nothing falls below zero, which rules some fillings out.
        if (problem.kind == "difference" and counts[0] < counts[1]) or (
            problem.kind == "minus" and counts[2] > min(counts)
        ):
            continue
        answer = replace(problem, groups=tuple(groups)).answer
        found[answer] = found.get(answer, 0.0) + math.prod(HIDDEN if more else 1 - HIDDEN for more in hidden)
    total = sum(found.values())
    return {answer: p / total for answer, p in found.items()}


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
