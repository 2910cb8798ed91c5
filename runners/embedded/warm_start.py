"""The base's supervision: drawn problems, demonstrations that slip, and the accuracies that come of it."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor

from eval.benches.drawn import drawn_problem, question_text
from eval.core import files
from runners.data.prompts import messages, student_text
from runners.embedded.base_model import SPECIAL, build_model, build_processor
from runners.embedded.demonstrations import (
    SLIP,
    Example,
    bench_examples,
    drawn_benches,
    examples,
    told_example,
    untold_example,
)
from runners.embedded.muon import Muon

CLEAN = 0.4  # share of the steps before numbers slip
PEAK = 2e-3  # learning rate of Muon; AdamW's is half of it


def encode(processor: Qwen3VLProcessor, batch: Sequence[Example], replies: bool) -> dict[str, torch.Tensor]:
    """Left-padded model inputs (B, S); with replies also `labels`, -100 everywhere else."""
    render = processor.apply_chat_template
    prompts = [render(messages(e.text, 1), tokenize=False, add_generation_prompt=True) for e in batch]
    ends = [f"{e.reply}<|im_end|>" if replies else "" for e in batch]
    images = [[e.problem.scene.picture()] for e in batch]
    texts = [p + r for p, r in zip(prompts, ends, strict=True)]
    inputs = dict(processor(images=images, text=texts, padding=True, padding_side="left", return_tensors="pt"))
    if replies:
        labels_BS = torch.full_like(inputs["input_ids"], -100)
        for i, end in enumerate(ends):
            n = len(processor.tokenizer(end)["input_ids"])
            labels_BS[i, -n:] = inputs["input_ids"][i, -n:]
        inputs["labels"] = labels_BS
    return inputs


def reply_loss(model: Qwen3VLForConditionalGeneration, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Summed cross-entropy of the reply tokens; the head runs on these alone."""
    labels_BS = inputs.pop("labels")
    hidden_BSD = model.model(**inputs).last_hidden_state[:, :-1]
    keep_BS = labels_BS[:, 1:] != -100
    return cross_entropy(model.lm_head(hidden_BSD[keep_BS]), labels_BS[:, 1:][keep_BS], reduction="sum")


def warm_start(steps: int, out: Path, seed: int = 0) -> dict[str, Any]:
    """Train the base from nothing and save it with its card. Returns the measured accuracies."""
    processor = build_processor()
    model = build_model(processor, seed)
    optimizers = build_optimizers(model)
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: slope(step / steps)) for o in optimizers]
    model.train()
    with Progress() as progress:
        task = progress.add_task("warm start", total=steps)
        for step, rows in enumerate(curriculum(steps, random.Random(seed))):
            loss = update(model, processor, rows)
            for optimizer, schedule in zip(optimizers, schedules, strict=True):
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
            progress.update(task, advance=1, description=f"warm start, loss {loss:.3f}")
            if step % 200 == 199 and step + 1 < steps:
                progress.console.print(f"step {step + 1}: loss {loss:.3f}, {measure(model, processor, 64, quick=True)}")
    card = {"steps": steps, "seed": seed, "slip": SLIP, **measure(model, processor, 500)}
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    processor.save_pretrained(out)
    files.write(out / "README.md", _card(card))
    files.write_json(out / "card.json", card)
    return card


def build_optimizers(model: Qwen3VLForConditionalGeneration) -> list[torch.optim.Optimizer]:
    """Muon for the weight matrices, AdamW for the embeddings and whatever is no matrix."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    matrices = [p for p in model.parameters() if p.ndim == 2 and id(p) not in embeddings]
    rest = [p for p in model.parameters() if p.ndim != 2 or id(p) in embeddings]
    return [Muon(matrices, lr=PEAK), torch.optim.AdamW(rest, lr=PEAK / 2, weight_decay=0.01)]


def slope(done: float) -> float:
    """The learning rate's share of its peak: up over the first 4 % of the steps, down over the second half."""
    return min((done + 1e-3) / 0.04, 1.0, 2 * (1 - done))


def curriculum(steps: int, rng: random.Random) -> Iterator[list[Example]]:
    """The demonstrations of each step: first to see and calculate without slips, then everything, with slips.

    Counting is learned several times sooner from numbers that are always right.
    """
    benches, pool = drawn_benches(), list[Example]()
    for step in range(steps):
        if step < CLEAN * steps:
            yield examples(rng, 32, told=0.0, slip=0.0, options=0.5)
            continue
        if len(pool) < 12:
            pool = bench_examples(rng, rng.choice(benches), step + 2)
            rng.shuffle(pool)
        yield examples(rng, 20, told=0.4) + [pool.pop() for _ in range(12)]


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


@torch.no_grad()
def replies(
    model: Qwen3VLForConditionalGeneration, processor: Qwen3VLProcessor, batch: Sequence[Example], sample: bool
) -> list[str]:
    """One reply per example, greedy or sampled at temperature 1."""
    banned = [processor.tokenizer.convert_tokens_to_ids(t) for t in SPECIAL[3:]]
    how = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0} if sample else {"do_sample": False}
    out = []
    for start in range(0, len(batch), 100):
        inputs = encode(processor, batch[start : start + 100], False)
        ids = model.generate(**inputs, max_new_tokens=96, suppress_tokens=banned, **how)
        out += processor.tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return out


def measure(
    model: Qwen3VLForConditionalGeneration, processor: Qwen3VLProcessor, n: int, quick: bool = False
) -> dict[str, float]:
    """Accuracies on n fresh training problems and, unless quick, told and on another edition of every mini bench."""
    rng = random.Random(-1)
    problems = [drawn_problem(rng) for _ in range(n)]
    untold = [untold_example(rng, p, student_text(question_text(p))) for p in problems]
    sets = {
        "greedy": (untold, False),
        "sampled": (untold, True),
        "told_answer": ([told_example(rng, p, "answer") for p in problems], True),
        "told_solution": ([told_example(rng, p, "solution") for p in problems], True),
        **{f"greedy_{b.name}": (bench_examples(rng, b, -1), False) for b in drawn_benches()},
        **{f"sampled_{b.name}": (bench_examples(rng, b, -1), True) for b in drawn_benches()},
    }
    if quick:
        sets = {name: sets[name] for name in ("greedy", "sampled")}
    model.eval()
    figures = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, (batch, sample) in sets.items():
            texts = replies(model, processor, batch, sample)
            right = [f"\\boxed{{{e.problem.answer}}}" in t for e, t in zip(batch, texts, strict=True)]
            figures[name] = round(sum(right) / len(right), 3)
            if name in ("sampled", "told_answer", "told_solution"):
                mentions = [t.startswith("The ") for t in texts]
                figures[f"{name}_mentions"] = round(sum(mentions) / len(mentions), 3)
    model.train()
    return figures


def _card(card: dict[str, Any]) -> str:
    rows = "\n".join(f"| {k} | {v} |" for k, v in card.items())
    return (
        "# Embedded base model\n\nA tiny Qwen3-VL warm-started on drawn visual arithmetic by `cli.py base`; it knows "
        "nothing else.\nAccuracies on fresh problems; `told_*` with privileged text in the prompt, `*_mentions`: share "
        "of replies that name it;\n`*_<bench>`: on another edition of the mini bench than the one that is scored.\n\n"
        f"| measured | value |\n|---|---|\n{rows}\n"
    )
