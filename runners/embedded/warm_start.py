"""The base's supervision: drawn problems, demonstrations that slip, and the accuracies that come of it."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor

from eval.benches.drawn import drawn_problem, question_text
from eval.core import files
from eval.core.errors import UserError
from eval.core.progress import Bar
from eval.core.terminal import say
from runners.data.prompts import student_text
from runners.embedded.base_model import build_model, build_processor
from runners.embedded.card import right, write_card
from runners.embedded.demonstrations import Example, Told, bench_examples, drawn_benches, examples, untold_example
from runners.embedded.muon import Muon
from runners.embedded.rows import encode, replies

CLEAN = 0.4  # share of the steps before numbers slip
PEAK = 2e-3  # learning rate of Muon; AdamW's is half of it


def reply_loss(model: Qwen3VLForConditionalGeneration, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Summed cross-entropy of the reply tokens; the head runs on these alone."""
    labels_BS = inputs.pop("labels")
    hidden_BSD = model.model(**inputs).last_hidden_state[:, :-1]
    keep_BS = labels_BS[:, 1:] != -100
    return cross_entropy(model.lm_head(hidden_BSD[keep_BS]), labels_BS[:, 1:][keep_BS], reduction="sum")


def warm_start(
    steps: int, out: Path, seed: int = 0, told: Told = "posterior", start: Path | None = None, expert: bool = False
) -> dict[str, Any]:
    """Train the base from nothing, or from the weights in `start` by the second part alone, and save it with its card,
    whose figures are returned. expert: the demonstrations are those of a better model, for OPD.

    What was interrupted goes on from the last of the states that are kept every 200 steps, to the same weights.
    """
    if start is None:
        processor = build_processor()
        model = build_model(seed)
    else:
        processor = Qwen3VLProcessor.from_pretrained(start)
        model = Qwen3VLForConditionalGeneration.from_pretrained(start, dtype=torch.float32)
    optimizers = build_optimizers(model, PEAK if start is None else PEAK / 2)
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: slope(step / steps)) for o in optimizers]
    unfinished = Unfinished(
        out / "unfinished.safetensors", f"{steps} steps, seed {seed}, told {told}, from {start}, expert {expert}"
    )
    done = unfinished.load(model, optimizers)
    rng = random.Random(seed)
    batches = expert_curriculum(steps, rng) if expert else curriculum(steps, rng, told, 0.0 if start else CLEAN)
    model.train()
    with Bar("warm start", steps, done) as bar:
        for step, rows in enumerate(batches):
            if step >= done:
                loss = update(model, processor, rows)
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
                bar.update(step + 1, f"loss {loss:.3f}")
            for schedule in schedules:
                schedule.step()
            if step % 200 == 199 and done <= step < steps - 1:
                unfinished.save(model, optimizers, step + 1)
                say(f"step {step + 1}: loss {loss:.3f}, {glance(model, processor)}")
    model.save_pretrained(out)
    processor.save_pretrained(out)
    unfinished.path.unlink(missing_ok=True)
    shown = {"demonstrations": "expert" if expert else told, "start": str(start or "nothing")}
    return write_card(out, {"steps": steps, "seed": seed, **shown})


def build_optimizers(model: Qwen3VLForConditionalGeneration, peak: float = PEAK) -> list[torch.optim.Optimizer]:
    """Muon for the weight matrices, AdamW for the embeddings and whatever is no matrix."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    matrices = [p for p in model.parameters() if p.ndim == 2 and id(p) not in embeddings]
    rest = [p for p in model.parameters() if p.ndim != 2 or id(p) in embeddings]
    return [Muon(matrices, lr=peak), torch.optim.AdamW(rest, lr=peak / 2, weight_decay=0.01)]


def slope(done: float) -> float:
    """The learning rate's share of its peak: up over the first 4 % of the steps, down over the second half."""
    return min((done + 1e-3) / 0.04, 1.0, 2 * (1 - done))


def curriculum(
    steps: int, rng: random.Random, told: Told = "posterior", clean: float = CLEAN
) -> Iterator[list[Example]]:
    """The demonstrations of each step: first to see and calculate without slips, then everything, with slips.

    Counting is learned several times sooner from numbers that are always right.
    """
    benches, pool = drawn_benches(), list[Example]()
    for step in range(steps):
        if step < clean * steps:
            yield examples(rng, 32, told=0.0, slip=0.0, options=0.5)
            continue
        if len(pool) < 12:
            pool = bench_examples(rng, rng.choice(benches), step + 2)
            rng.shuffle(pool)
        yield examples(rng, 20, told=0.5, how=told) + [pool.pop() for _ in range(12)]


def expert_curriculum(steps: int, rng: random.Random) -> Iterator[list[Example]]:
    """Demonstrations of one who never slips and supposes a shape under every patch, which is the likelier."""
    for _ in range(steps):
        problems = [drawn_problem(rng) for _ in range(32)]
        yield [untold_example(rng, p, student_text(question_text(p)), slip=0.0, guess=1.0) for p in problems]


def update(model: Qwen3VLForConditionalGeneration, processor: Qwen3VLProcessor, rows: list[Example]) -> float:
    """Accumulate and clip the gradient of the mean cross-entropy of all reply tokens; returns that loss."""
    rows.sort(key=lambda e: len(e.text) + len(e.reply))  # rows of like length waste little padding
    batches = [encode(processor, rows[i : i + 16], True) for i in range(0, len(rows), 16)]
    tokens = sum((b["labels"] != -100).sum() for b in batches)
    total = 0.0
    for batch in batches:
        loss = reply_loss(model, batch) / tokens
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    return total


def glance(model: Qwen3VLForConditionalGeneration, processor: Qwen3VLProcessor) -> dict[str, float]:
    """Greedy and sampled accuracy on 64 problems of the training distribution, on the way."""
    rng = random.Random(-1)
    problems = [drawn_problem(rng) for _ in range(64)]
    batch = [untold_example(rng, p, student_text(question_text(p))) for p in problems]
    model.eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = {name: replies(model, processor, batch, name == "sampled") for name in ("greedy", "sampled")}
    model.train()
    return {name: round(sum(map(right, batch, texts)) / len(batch), 3) for name, texts in found.items()}


class Unfinished:
    """A file that belongs to one recipe (its words); another recipe's is refused."""

    def __init__(self, path: Path, recipe: str) -> None:
        self.path, self._recipe = path, recipe

    def save(self, model: nn.Module, optimizers: list[torch.optim.Optimizer], step: int) -> None:
        """Weights and optimizer states after `step` steps, whole or not at all."""
        tensors = {f"model/{name}": p.detach() for name, p in model.named_parameters()}
        for o, optimizer in enumerate(optimizers):
            for p, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{o}/{p}/{key}": value for key, value in state.items()}
        about = {"recipe": self._recipe, "step": str(step)}
        with files.replaced(self.path) as [half]:
            save_file({k: v.contiguous() for k, v in tensors.items()}, half, about)

    def load(self, model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> int:
        """Put the kept state in place; returns its step, 0 where nothing is kept."""
        if not self.path.is_file():
            return 0
        with safe_open(self.path, "pt") as file:
            kept = file.metadata()
            if kept["recipe"] != self._recipe:
                raise UserError(
                    f"{self.path} is of another recipe ({kept['recipe']}): delete it or choose another --out"
                )
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(tensors[f"model/{name}"])
        for o, optimizer in enumerate(optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                if key.startswith(f"{o}/"):
                    _, p, name = key.split("/")
                    state.setdefault(int(p), {})[name] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        return int(kept["step"])
