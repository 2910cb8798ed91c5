"""Losses over the whole vocabulary: ours, TRL's chunked kernel, and logits that are kept; and TRL's SDPO on text."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from trl.experimental.sdpo.loss_utils import compute_divergence
from trl.experimental.sdpo.sdpo_trainer import SDPOTrainer
from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

from methods.functional import divergence
from runners.forward.chunked_head import States, distil
from runners.forward.lm_head import Head
from runners.forward.logprobs import expose_hidden_states, student_scores, teacher_states
from runners.speed.cells import FIRST, Cell, ModelShape, batch, random_model, twin
from runners.speed.measure import Ratio, interleaved, peak, ratio
from runners.speed.result import Row, Target
from runners.speed.scoring_cells import relative

DIVERGENCES = {"KL(T || S)": 0.0, "JSD": 0.5, "KL(S || T)": 1.0}
# In nats, and relative: float32 itself, with all logits kept, is up to 3e-6 away from float64 in the gradient.
LIMITS = {"cpu": {"Δ loss": 2e-6, "Δ gradient": 5e-6}, "cuda": {"Δ loss": 1e-4, "Δ gradient": 1e-4}}
REAL = 151_936  # the vocabulary of Qwen3-VL, for which the targets are


class HeadCell(NamedTuple):
    tokens: int
    hidden: int
    vocabulary: int
    kind: str

    @property
    def name(self) -> str:
        return f"{self.kind}, V {self.vocabulary:,}, N {self.tokens}, D {self.hidden}"


Found = tuple[Tensor, dict[str, Tensor]]  # a loss and its gradients
Step = Callable[[], Found]


def head_steps(cell: HeadCell, device: str) -> tuple[dict[str, Step], Step]:
    """Of each side: the mean divergence of N tokens, and its gradients in the hidden states and in the head; and the
    same in float64, by a plain formula and autograd, a few tokens at a time."""
    random, beta = torch.Generator().manual_seed(0), DIVERGENCES[cell.kind]

    def drawn(*shape: int, scale: float) -> Tensor:
        return (scale * torch.randn(shape, generator=random)).to(device)

    hidden_ND = drawn(cell.tokens, cell.hidden, scale=1.0)
    teacher_ND = hidden_ND + drawn(cell.tokens, cell.hidden, scale=0.3)
    weight_VD = drawn(cell.vocabulary, cell.hidden, scale=cell.hidden**-0.5)
    ids_N = torch.randint(cell.vocabulary, (cell.tokens,), generator=random).to(device)
    coefficient_N = torch.full((cell.tokens,), 1 / cell.tokens, device=device)
    teacher_VD = weight_VD.clone()
    hidden_ND.requires_grad_()
    weight_VD.requires_grad_()

    def ours() -> Tensor:
        return distil(
            hidden_ND, Head(weight_VD, None), {"told": States(teacher_ND, Head(teacher_VD, None))}, ids_N, 1.0,
            lambda student_NV, teachers, _: divergence(student_NV, teachers["told"], beta),
            lambda _, where: coefficient_N[where],
        ).loss  # fmt: skip

    def chunked() -> Tensor:
        per_token = ChunkedDivergenceFunction.apply(hidden_ND, weight_VD, None, teacher_ND, teacher_VD, None, beta)[0]
        return (per_token * coefficient_N).sum()

    def kept() -> Tensor:
        student_NV, teacher_NV = (
            log_softmax(h @ w.T, -1) for h, w in ((hidden_ND, weight_VD), (teacher_ND, teacher_VD))
        )
        return (compute_divergence(student_NV, teacher_NV, beta) * coefficient_N).sum()

    def step(loss: Callable[[], Tensor]) -> Step:
        def run() -> Found:
            hidden_ND.grad = weight_VD.grad = None
            value = loss()
            value.backward()
            assert hidden_ND.grad is not None and weight_VD.grad is not None
            return value.detach(), {"hidden": hidden_ND.grad, "head": weight_VD.grad}

        return run

    def exact() -> Found:
        hidden, weight, teacher = (x.detach().double() for x in (hidden_ND, weight_VD, teacher_ND))
        hidden.requires_grad_()
        weight.requires_grad_()
        total = torch.zeros((), dtype=torch.float64, device=device)
        for some in torch.arange(cell.tokens, device=device).split(32):
            logps = (log_softmax(h[some] @ w.T, -1) for h, w in ((hidden, weight), (teacher, weight.detach())))
            value = compute_divergence(*logps, beta).sum() / cell.tokens
            value.backward()
            total += value.detach()
        assert hidden.grad is not None and weight.grad is not None
        return total, {"hidden": hidden.grad, "head": weight.grad}

    return {"TRL chunked": step(chunked), "logits kept": step(kept), "ours": step(ours)}, exact


def measure(cell: HeadCell, device: str, rounds: int) -> Iterator[Row]:
    """Ours against both others; what is said of equality is against float64."""
    steps, exact = head_steps(cell, device)
    right = exact()
    apart = {name: _errors(right, step()) for name, step in steps.items()}
    del right
    calls = {name: _quiet(step) for name, step in steps.items()}
    times = interleaved(calls, rounds, device)
    memory = {name: peak(call, device) for name, call in calls.items()}
    for name in ("TRL chunked", "logits kept"):
        speed = ratio(times[name], times["ours"], device)
        row = _row(cell.name, name, speed, memory, apart["ours"], device, cell)
        row.figures["Δ gradient of the other"] = apart[name]["Δ gradient"]
        yield row


def sdpo(cell: Cell, shape: ModelShape, device: str, rounds: int) -> Row:
    """The loss of TRL's SDPOTrainer (JSD over the vocabulary, teacher = the model with a longer prompt) on text, which
    is all that it takes; student pass, teacher pass, loss and backward."""
    stock = random_model(shape, device)
    ours = twin(stock)
    expose_hidden_states(ours)
    rows = batch(cell, shape.vocabulary, device).rows
    told = _told(rows, shape.vocabulary, 32)
    trainer = _sdpo_trainer()
    lengths_B1 = rows.completion_mask_BT.sum(1, keepdim=True)
    weight_N = (rows.completion_mask_BT / lengths_B1 / len(lengths_B1))[rows.completion_mask_BT.bool()]
    inputs = {
        "prompt_ids": rows.prompt_BP, "prompt_mask": rows.prompt_mask_BP,
        "completion_ids": rows.completion_BT, "completion_mask": rows.completion_mask_BT,
        "teacher_input_ids": torch.cat([told.prompt_BP, rows.completion_BT], 1),
        "teacher_attention_mask": torch.cat([told.prompt_mask_BP, rows.completion_mask_BT], 1),
    }  # fmt: skip

    def theirs_loss() -> Tensor:
        logits = trainer._compute_teacher_student_logits(stock, stock, inputs)
        loss: Tensor = trainer._compute_self_distillation_loss(stock, inputs, logits)
        return loss

    def our_loss() -> Tensor:
        def distill(student_NV: Tensor, teachers: Mapping[str, Tensor], _: slice) -> Tensor:
            return divergence(student_NV, teachers["told"], 0.5)

        states = {"told": teacher_states(ours, told, copy_head=False)}
        loss = student_scores(ours, rows, 1.0, states, distill, lambda _, where: weight_N[where], policy=False).loss
        assert loss is not None
        return loss

    def step(loss: Callable[[], Tensor]) -> Step:
        def run() -> Found:
            stock.zero_grad(set_to_none=True)
            value = loss()
            value.backward()
            return value.detach(), {name: p.grad for name, p in stock.named_parameters() if p.grad is not None}

        return run

    steps = {"TRL SDPOTrainer": step(theirs_loss), "ours": step(our_loss)}
    apart = _errors(steps["TRL SDPOTrainer"](), steps["ours"]())
    if device == "cuda":
        stock.to(torch.bfloat16)
    calls = {name: _quiet(run) for name, run in steps.items()}
    times = interleaved(calls, rounds, device)
    memory = {}
    for name, call in calls.items():
        stock.zero_grad(set_to_none=True)
        memory[name] = peak(call, device)
    speed = ratio(times["TRL SDPOTrainer"], times["ours"], device)
    return _row(f"SDPO loss, V {shape.vocabulary:,}, {cell.name}", "TRL SDPOTrainer", speed, memory, apart, device)


def _row(
    cell: str, name: str, speed: Ratio, memory: dict[str, float], apart: dict[str, float], device: str,
    head: HeadCell | None = None,
) -> Row:  # fmt: skip
    figures = {"MiB other": memory[name], "MiB ours": memory["ours"], "memory": memory["ours"] / memory[name]}
    aims: tuple[Target, ...] = ()
    if head is not None and head.vocabulary == REAL and head.kind == "JSD":
        aims = (Target("memory", figures["memory"], "<=", 1 / 3),)
        if name == "TRL chunked":
            aims = (Target("speed-up", speed.median, ">=", 2.0),)
    return Row("vocabulary", f"{name} against ours: {cell}", apart, LIMITS[device], speed, figures, aims)


def _errors(theirs: Found, ours: Found) -> dict[str, float]:
    return {"Δ loss": float((theirs[0] - ours[0]).abs()), "Δ gradient": relative(ours[1], theirs[1])}


def _quiet(step: Step) -> Callable[[], None]:
    """The step without its results, which would be held while the next one runs."""

    def run() -> None:
        step()

    return run


def _told(rows: Any, vocabulary: int, more: int) -> Any:
    """The rows with `more` drawn tokens after their prompts."""
    random = torch.Generator().manual_seed(1)
    hint = torch.randint(FIRST, vocabulary, (1, more), generator=random).to(rows.prompt_BP.device)
    prompt_BP = torch.cat([rows.prompt_BP, hint.expand(len(rows.prompt_BP), -1)], 1)
    return replace(
        rows, prompt_BP=prompt_BP, prompt_mask_BP=torch.ones_like(prompt_BP), types_BP=torch.zeros_like(prompt_BP)
    )


def _sdpo_trainer() -> Any:
    """TRL's trainer with what its loss reads, and no more."""
    trainer: Any = object.__new__(SDPOTrainer)
    trainer.args = SimpleNamespace(
        distillation_mode="full_logits", distillation_alpha=0.5, distillation_is_clip=None, teacher_model_kind="live"
    )
    trainer.model, trainer.temperature, trainer.model_kwarg_keys = nn.Identity(), 1.0, {"logits_to_keep"}
    trainer.accelerator = SimpleNamespace(gather=lambda x: x, autocast=nullcontext)
    trainer._log_self_distillation_metric = lambda mode, value: None
    return trainer
