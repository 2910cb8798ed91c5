"""The exact score: how likely the policy is to write a right chain, summed over the valid ways, without sampling.

It has no sampling noise, so a few training seeds resolve what sampled accuracy would need dozens for. It sees nothing
but canonical text (a right answer by other words, or by two slips that cancel, is not in it): sampled accuracy stays
beside it.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor

from eval.benches.drawn import Problem, drawn_problem, question_text
from eval.benches.written import statements
from eval.core import files
from eval.core.errors import UserError
from runners.data.prompts import student_text
from runners.data.rows import drawn_problems
from runners.data.source import DRAWN
from runners.embedded.demonstrations import Example
from runners.embedded.rows import encode
from runners.run.model import locate
from runners.run.run_dir import RunDir, find_runs

ROWS = 32  # scored at once
LATE = 10  # steps


class Exact(NamedTuple):
    """Mean probability of a right chain over n problems, and by kind."""

    score: float
    n: int
    kinds: dict[str, float]


def held_out(n: int, seed: int = 0) -> list[Problem]:
    """Problems of the training distribution that no training draws: its generators have other seeds."""
    rng = random.Random(f"held-out-{seed}")
    return [drawn_problem(rng) for _ in range(n)]


@torch.no_grad()
def log_probs(
    model: Qwen3VLForConditionalGeneration, processor: Qwen3VLProcessor, batch: Sequence[Example], after: int = 0
) -> list[float]:
    """log P(reply and its end | prompt) of each example, in nats, at temperature 1; without its first `after` tokens,
    which are taken as given."""
    found = [0.0] * len(batch)
    order = sorted(range(len(batch)), key=lambda i: len(batch[i].text) + len(batch[i].reply))
    for start in range(0, len(order), ROWS):
        some = order[start : start + ROWS]
        inputs = encode(processor, [batch[i] for i in some], True)
        labels_BT = inputs.pop("labels")[:, 1:]
        hidden_BTD = model.model(**inputs).last_hidden_state[:, :-1]
        own_BT = labels_BT != -100
        own_BT &= own_BT.cumsum(1) > after
        logp_NV = model.lm_head(hidden_BTD[own_BT]).log_softmax(-1)
        logp_BT = torch.zeros(labels_BT.shape)
        logp_BT[own_BT] = logp_NV.gather(-1, labels_BT[own_BT][:, None])[:, 0].float()
        for i, value in zip(some, logp_BT.sum(1).tolist(), strict=True):
            found[i] = value
    return found


def right_chains(problem: Problem) -> list[Example]:
    """The valid ways to write the solution, in the training prompt."""
    text = student_text(question_text(problem))
    return [Example(text, problem.demonstrate(way=way), problem) for way in problem.ways]


def exact_score(
    model: Qwen3VLForConditionalGeneration, processor: Qwen3VLProcessor, problems: Sequence[Problem]
) -> Exact:
    """The mean over the problems of sum over ways of P(chain). Leaves the model in evaluation mode."""
    model.eval()
    ways = [right_chains(problem) for problem in problems]
    logs = iter(log_probs(model, processor, [example for some in ways for example in some]))
    scores = [sum(torch.tensor([next(logs) for _ in some]).exp().tolist()) for some in ways]
    kinds: dict[str, list[float]] = {}
    for problem, score in zip(problems, scores, strict=True):
        kinds.setdefault(problem.kind, []).append(score)
    return Exact(sum(scores) / len(scores), len(scores), {k: sum(s) / len(s) for k, s in sorted(kinds.items())})


def score_folder(folder: Path | str, n: int) -> Exact:
    """The exact score of a checkpoint of the embedded model."""
    model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return exact_score(model, Qwen3VLProcessor.from_pretrained(folder), held_out(n))


def score_runs(where: Path, n: int) -> Iterator[tuple[str, float | None, float | None]]:
    """Name, exact score (of the last checkpoint; None where there is none any more) and `right_by_a_wrong_chain` of
    every run below a folder, or of one checkpoint.

    Raises UserError where there is neither.
    """
    runs = find_runs(where)
    if not runs and not (where / "model.safetensors").is_file():
        raise UserError(f"{where} holds no run and no checkpoint")
    if not runs:
        yield where.name, score_folder(where, n).score, None
    for run in runs:
        kept = run.path / "exact.json"
        found = files.read_object(kept) or {}
        try:
            _, weights = run.trained()
        except UserError as error:
            found.setdefault("score", None)
            print(f"not scored: {error}")
        else:
            checkpoint = weights or Path(locate(run.info()["model"]))
            if (found.get("checkpoint"), found.get("n")) != (checkpoint.name, n):
                found = {"checkpoint": checkpoint.name, **score_folder(checkpoint, n)._asdict()}
        if "wrong_chain" not in found:
            found["wrong_chain"] = right_by_a_wrong_chain(run)
            files.write_json(kept, found)
        yield f"{run.path.parent.name}/{run.path.name}", found["score"], found["wrong_chain"]


def right_by_a_wrong_chain(run: RunDir) -> float | None:
    """Of the right replies in a run's last ten recorded steps, the share that states something wrong on the way, which
    neither the reward nor the exact score can see. None without drawn problems or right replies."""
    recorded = sorted((run.path / "completions").glob("step*.parquet"))[-LATE:]
    if not recorded or (settings := run.settings()).data.source not in DRAWN:
        return None
    replies = pd.concat(pd.read_parquet(file, columns=["id", "reply", "reward"]) for file in recorded)
    replies = replies[replies["reward"] == 1]
    numbers = [int(item.rpartition("_")[2]) for item in replies["id"]]
    problems = list(islice(drawn_problems(settings.seed), settings.train.steps * settings.train.prompts))
    wrong = [
        any(stated.slip for stated in statements(problems[number], reply))
        for number, reply in zip(numbers, replies["reply"], strict=True)
    ]
    return sum(wrong) / len(wrong) if wrong else None
