"""Every family's log-probabilities in training against each row alone: `python -m tests.parity.families`.

The reference knows nothing of ours: a fresh copy of the checkpoint, one row at a time, unpadded, with every field that
its processor makes, through the model's own forward pass and logits.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image
from torch import Tensor

from eval.core.errors import UserError
from methods import METHODS
from runners.forward.logprobs import token_log_probs
from runners.run.config import resolve
from runners.run.model import loaders
from runners.run.registry import build_method
from runners.run.run_dir import RunDir
from runners.train import trainer as training
from runners.train.contexts import context_rows, prompts_of
from runners.train.run import build_trainer
from runners.train.trl_batch import student_rows
from tests.support.families import TEXTS, VLMS, build

SIZES = ((64, 32), (32, 64), (48, 48), (64, 64))
PICTURES = {"text": (0, 0), "one": (1, 1), "two": (2, 2), "some": (0, 2)}  # of the first and the second prompt
LORA = "model.lora={rank: 2, alpha: 4}"
SMALL = (
    "train.steps=1", "train.prompts=2", "train.generations=4", "train.micro_batch=4", "train.max_completion_tokens=10",
    "train.learning_rate=1e-3",
)  # fmt: skip


def write_rows(folder: Path, kind: str) -> Path:
    """Two questions with as many pictures as `kind` says, of unlike sizes and colours."""
    lines, number = [], 0
    for i, count in enumerate(PICTURES[kind]):
        names = []
        for _ in range(count):
            number += 1
            noise = torch.Generator().manual_seed(number)
            width, height = SIZES[number % len(SIZES)]
            pixels = torch.randint(256, (height, width, 3), generator=noise, dtype=torch.uint8)
            names.append(f"{kind}{number}.png")
            Image.fromarray(pixels.numpy()).save(folder / names[-1])
        text = "What is in the picture?" if i else "How many red shapes?"
        lines.append(json.dumps({"id": str(i), "question": text, "answer": str(i), "solution": "So it is.", "images": names}))
    file = folder / f"{kind}.jsonl"
    file.write_text("\n".join(lines))
    return file


@torch.no_grad()
def alone(model: Any, processor: Any, prompt: list[dict[str, Any]], completion_T: Tensor) -> Tensor:
    """Log-probabilities (T,) of one completion after its unpadded prompt."""
    out = processor.apply_chat_template(
        [prompt], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    fields, P, T = dict(out), out["input_ids"].shape[1], len(completion_T)
    fields["input_ids"] = torch.cat([fields["input_ids"], completion_T[None]], 1)
    fields["attention_mask"] = torch.ones_like(fields["input_ids"])
    for name in ("token_type_ids", "mm_token_type_ids"):
        if name in fields:
            fields[name] = torch.cat([fields[name], fields[name].new_zeros(1, T)], 1)
    logits_TV = model(**fields).logits[0, P - 1 : P + T - 1]
    return logits_TV.log_softmax(-1).gather(1, completion_T[:, None])[:, 0]


def reward(completions: list[Any], **_: object) -> list[float]:
    """One rollout of each group is right, so that every method has something to learn and to tell."""
    return [float(i % 4 == 1) for i in range(len(completions))]


@contextmanager
def compared(folder: Path, apart: dict[str, float]) -> Iterator[None]:
    """Inside, each batch of rollouts is scored alone too; the largest differences go to `apart`: `student` (before the
    update), each teacher by its name, and `update` (in the pass with gradient)."""
    kind, words = loaders(str(folder))
    fresh, processor = kind.from_pretrained(folder, dtype=torch.float32).eval(), words.from_pretrained(folder)
    expected: list[Tensor] = []
    generate, student_pass = training.BenchTrainer._generate_and_score_completions, training.BenchTrainer._student_pass
    contexts = training.BenchTrainer._contexts
    told: list[Any] = []

    def remembered(self: Any, inputs: Any) -> Any:
        told[:] = contexts(self, inputs)
        return told

    def spied(self: Any, inputs: Any) -> dict[str, Any]:
        batch: dict[str, Any] = generate(self, inputs)
        was = self.model.training
        self.model.eval()
        plain = not self._is_vlm
        views = {"student": (student_rows(batch), prompts_of("", inputs, [{}] * len(inputs), plain))}
        for name in self.method.teachers:
            views[name] = context_rows(batch, name), prompts_of(name, inputs, told, plain)
        for name, (rows, prompts) in views.items():
            ours_BT = token_log_probs(self.model, rows, 1.0)
            truth_BT = torch.zeros_like(ours_BT)
            for i, prompt in enumerate(prompts):
                real_T = rows.completion_mask_BT[i].bool()
                truth_BT[i, real_T] = alone(fresh, processor, prompt, rows.completion_BT[i][real_T])
            apart[name] = max(apart.get(name, 0.0), float((ours_BT - truth_BT).abs().max()))
            if name == "student":
                expected[:] = [truth_BT]
        self.model.train(was)
        return batch

    def updated(self: Any, model: Any, this: Any) -> Any:
        out = student_pass(self, model, this)
        first = self._step % self.args.steps_per_generation * len(out[0])
        truth_BT = expected[0][first : first + len(out[0]), : out[0].shape[1]]
        difference_BT = (out[0].detach() - truth_BT)[this.keep]
        apart["update"] = max(apart.get("update", 0.0), float(difference_BT.abs().max()))
        return out

    with (
        patch.object(training.BenchTrainer, "_generate_and_score_completions", spied),
        patch.object(training.BenchTrainer, "_student_pass", updated),
        patch.object(training.BenchTrainer, "_contexts", remembered),
        patch.dict("runners.train.run.REWARDS", {"accuracy": {reward: 1.0}}),
    ):
        yield


def cell(folder: Path, work: Path, method: str, kind: str, *changes: str) -> dict[str, float]:
    """One training step; the largest differences, and the gradient's norm as `norm`."""
    settings = resolve("cpu", method, 0, [
        *SMALL, f"model.path={folder}", f"data.source={write_rows(work, kind)}", "train.temperature=1.0", *changes
    ])  # fmt: skip
    built, run = build_method(method, settings.params), RunDir(Path(tempfile.mkdtemp(dir=work)))
    run.open(settings, built.label, "parity", str(folder))
    apart: dict[str, float] = {}
    with compared(folder, apart):
        trainer = build_trainer(settings, built, run, [])
        trainer.train()
    apart["norm"] = next(row["grad_norm"] for row in trainer.state.log_history if "grad_norm" in row)
    return apart


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            folder = build(name, Path(temporary) / name)
            kinds = ("text",) if name in TEXTS else tuple(PICTURES)
            for kind in kinds:
                for method in METHODS:
                    try:
                        found = cell(folder, Path(temporary), method, kind)
                        print(name, kind, method, {k: f"{v:.1e}" for k, v in found.items()}, flush=True)
                    except UserError as error:
                        print(name, kind, method, error)


if __name__ == "__main__":
    main(sys.argv[1:] or [*VLMS, *TEXTS])
