"""Every family's log-probabilities in training against each row alone: `python -m tests.parity.families` prints the
table of docs/models.md.

The reference knows nothing of ours: a fresh copy of the checkpoint, one row at a time, unpadded, with every field that
its processor makes, through the model's own forward pass and logits.
"""

import io
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image
from torch import Tensor

from eval.core.errors import UserError
from eval.core.images import Picture
from eval.engines.load import loaded_engine
from eval.engines.requests import Question
from eval.settings import EvalSettings
from methods import SELF_CONTAINED
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
PICTURES = {"text": (0, 0), "shown": (1, 2)}  # of the first and the second prompt
COUNTS = ("text", "one", "two")  # as the table calls a prompt of so many pictures
LORA = "model.lora={rank: 2, alpha: 4}"
ALLOWED = 2e-6  # of a log-probability in float32
SMALL = (
    "train.steps=1", "train.prompts=2", "train.generations=4", "train.micro_batch=4", "train.max_completion_tokens=10",
    "train.learning_rate=1e-3", "train.temperature=1.0", "train.checkpoint_every=9",
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
        lines.append(
            json.dumps({"id": str(i), "question": text, "answer": str(i), "solution": "So it is.", "images": names})
        )
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


def turned(prompt: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same prompt with other pictures of the same size."""
    parts = [{**p, "image": p["image"].rotate(180)} if p["type"] == "image" else p for p in prompt[-1]["content"]]
    return [{**prompt[-1], "content": parts}]


@contextmanager
def compared(folder: Path, found: dict[str, float]) -> Iterator[None]:
    """Inside, each batch of rollouts is scored alone too. `found` then holds the largest differences, of student and
    teachers, by how many pictures a prompt shows (`COUNTS`); of the pass with gradient as `update`; and as `seen` how
    far other pictures move the first rollout's."""
    kind, words = loaders(str(folder))
    fresh, processor = kind.from_pretrained(folder, dtype=torch.float32).eval(), words.from_pretrained(folder)
    trainer = training.BenchTrainer
    generate, student_pass, contexts = trainer._generate_and_score_completions, trainer._student_pass, trainer._contexts
    told: list[Any] = []
    truths: dict[str, Tensor] = {}

    def note(name: str, difference: Tensor) -> None:
        found[name] = max(found.get(name, 0.0), float(difference.abs().max()))

    def remembered(self: Any, inputs: Any) -> Any:
        told[:] = contexts(self, inputs)
        return told

    def scored(self: Any, inputs: Any) -> dict[str, Any]:
        batch: dict[str, Any] = generate(self, inputs)
        was, plain = self.model.training, not self._is_vlm
        self.model.eval()
        views = {"": (student_rows(batch), prompts_of("", inputs, [{}] * len(inputs), plain))}
        for name in self.method.teachers:
            views[name] = context_rows(batch, name), prompts_of(name, inputs, told, plain)
        for name, (rows, prompts) in views.items():
            ours_BT = token_log_probs(self.model, rows, 1.0)
            truths[name] = torch.zeros_like(ours_BT)
            for i, prompt in enumerate(prompts):
                real_T = rows.completion_mask_BT[i].bool()
                truths[name][i, real_T] = alone(fresh, processor, prompt, rows.completion_BT[i][real_T])
                note(COUNTS[len(inputs[i]["images"])], ours_BT[i] - truths[name][i])
        if not plain and inputs[0]["images"]:
            rows, (first, *_) = views[""]
            real_T = rows.completion_mask_BT[0].bool()
            others = alone(fresh, processor, turned(first), rows.completion_BT[0][real_T])
            note("seen", others - truths[""][0, real_T])
        self.model.train(was)
        return batch

    def updated(self: Any, model: Any, this: Any) -> Any:
        out = student_pass(self, model, this)
        first = self._step % self.args.steps_per_generation * len(out[0])
        truth_BT = truths[""][first : first + len(out[0]), : out[0].shape[1]]
        note("update", (out[0].detach() - truth_BT)[this.keep])
        return out

    with (
        patch.object(trainer, "_generate_and_score_completions", scored),
        patch.object(trainer, "_student_pass", updated),
        patch.object(trainer, "_contexts", remembered),
        patch.dict("runners.train.run.REWARDS", {"accuracy": {reward: 1.0}}),
    ):
        yield


def trained(folder: Path, work: Path, method: str, kind: str, *changes: str) -> dict[str, float]:
    """One training step: what `compared` finds, and the gradient's norm as `norm`."""
    data = f"data.source={write_rows(work, kind)}"
    settings = resolve("cpu", method, 0, [*SMALL, f"model.path={folder}", data, *changes])
    built, run = build_method(method, settings.params), RunDir(Path(tempfile.mkdtemp(dir=work)))
    run.open(settings, built.label, "parity", str(folder))
    found: dict[str, float] = {}
    with compared(folder, found):
        trainer = build_trainer(settings, built, run, [])
        trainer.train()
    found["norm"] = next(row["grad_norm"] for row in trainer.state.log_history if "grad_norm" in row)
    return found


def answered(folder: Path, work: Path, kind: str) -> int:
    """How many greedy replies of the evaluation's engine, asked in one batch, are not those of a fresh model that is
    asked each question alone."""
    settings = EvalSettings(temperature=0, presence_penalty=0, max_new_tokens=8, batch_size=2, device="cpu")
    rows = [json.loads(line) for line in write_rows(work, kind).read_text().splitlines()]
    shown = [[Picture(work / name) for name in row["images"]] for row in rows]
    fresh, words = loaders(str(folder))
    model, processor = fresh.from_pretrained(folder).eval(), words.from_pretrained(folder)
    with loaded_engine(str(folder), settings, max(map(len, shown))) as engine:
        prompts = [
            engine.apply_chat_template([{"role": "user", "content": "<image>" * len(row["images"]) + row["question"]}])
            for row in rows
        ]
        questions = [Question(i, 0, prompt, shown[i]) for i, prompt in enumerate(prompts)]
        said = {q.row: reply.text for batch in engine.answers(questions) for q, reply in batch}
        banned, tokens = engine.banned, engine.tokenizer
    wrong = 0
    for i, prompt in enumerate(prompts):
        pictures = {"images": [[p.open() for p in shown[i]]]} if shown[i] else {}
        inputs = processor(text=[prompt], **pictures, return_tensors="pt")
        out = model.generate(**inputs, max_new_tokens=8, do_sample=False, suppress_tokens=banned or None)
        ids = out[0, inputs["input_ids"].shape[1] :]
        wrong += tokens.decode(ids, skip_special_tokens=True) != said[i]
    return wrong


def line(name: str, folder: Path, work: Path) -> str:
    """One row of the table; raises AssertionError where a cell is not what it should be."""
    pictures = name in VLMS
    cells: list[str] = []
    for method, changes in [*((method, ()) for method in SELF_CONTAINED), ("rlsd", (LORA,))]:
        found = trained(folder, work, method, "shown" if pictures else "text", *changes)
        apart = [found[k] for k in (*COUNTS, "update") if k in found]
        assert max(apart) <= ALLOWED, (name, method, found)
        assert found["norm"] > 0 and found.get("seen", 1.0) > 1e-3, (name, method, found)
        cells.append(" / ".join(f"{1e6 * found[k]:.2g}" for k in COUNTS if k in found))
    if pictures:
        cells.append(f"{1e6 * trained(folder, work, 'grpo', 'text')['text']:.2g}")
    else:
        cells.append("-")
    wrong = answered(folder, work, "shown" if pictures else "text")
    cells.append("alike" if not wrong else f"{wrong} of 2 differ")
    return f"| {name} | {' | '.join(cells)} |"


def main(names: list[str]) -> None:
    heads = ["family", *SELF_CONTAINED, "LoRA", "text rows", "evaluation"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for name in names:
            folder = build(name, work / name)
            said = io.StringIO()
            try:
                with redirect_stdout(said):
                    row = line(name, folder, work)
            except UserError as error:
                row = f"| {name} | refused: {error} |"
            print(row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or [*VLMS, *TEXTS])
