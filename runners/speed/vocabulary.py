"""Losses over the whole vocabulary: ours, TRL's chunked kernel, and logits that are kept; and TRL's SDPO on text."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from methods.functional import divergence
from runners.forward.batch import Rows
from runners.forward.chunked_head import States, distil
from runners.forward.lm_head import Head
from runners.forward.logprobs import expose_hidden_states, student_scores, teacher_states
from runners.speed import stock
from runners.speed.cells import DIVERGENCES, REAL, Cell, HeadCell, Sizes
from runners.speed.inputs import FIRST, batch, random_model, twin
from runners.speed.measure import Ratio, peaks, ratio, times
from runners.speed.report import Row, Target
from runners.speed.scoring import Gradients, relative

# In nats, and relative: float32 itself, with all logits kept, is up to 3e-6 away from float64 in the gradient.
LIMITS = {"cpu": {"Δ loss": 2e-6, "Δ gradient": 5e-6}, "cuda": {"Δ loss": 1e-4, "Δ gradient": 1e-4}}

Found = tuple[Tensor, Gradients]  # a loss and its gradients
Step = Callable[[], Found]


def step_of(loss: Callable[[], Tensor], parameters: dict[str, nn.Parameter | Tensor]) -> Step:
    """The loss, and its gradients in the parameters."""

    def step() -> Found:
        for p in parameters.values():
            p.grad = None
        value = loss()
        value.backward()
        return value.detach(), {name: p.grad for name, p in parameters.items() if p.grad is not None}

    return step


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

    def by(divergence_N: Callable[..., Tensor]) -> Callable[[], Tensor]:
        return lambda: (divergence_N(hidden_ND, weight_VD, teacher_ND, teacher_VD, beta) * coefficient_N).sum()

    def exact() -> Found:
        hidden, weight, teacher = (x.detach().double() for x in (hidden_ND, weight_VD, teacher_ND))
        hidden.requires_grad_()
        weight.requires_grad_()
        total = torch.zeros((), dtype=torch.float64, device=device)
        for some in torch.arange(cell.tokens, device=device).split(32):
            found = stock.kept_divergence(hidden[some], weight, teacher[some], weight.detach(), beta)
            value = found.sum() / cell.tokens
            value.backward()
            total += value.detach()
        assert hidden.grad is not None and weight.grad is not None
        return total, {"hidden": hidden.grad, "head": weight.grad}

    leaves: dict[str, nn.Parameter | Tensor] = {"hidden": hidden_ND, "head": weight_VD}
    losses = {"TRL chunked": by(stock.chunked_divergence), "logits kept": by(stock.kept_divergence), "ours": ours}
    return {name: step_of(loss, leaves) for name, loss in losses.items()}, exact


def measure(cell: HeadCell, device: str, rounds: int) -> Iterator[Row]:
    """Ours against both others; what is said of equality is against float64."""
    steps, exact = head_steps(cell, device)
    right = exact()
    apart = {name: _errors(right, step()) for name, step in steps.items()}
    del right
    for name, speed, figures in _compared(steps, device, rounds):
        aims: tuple[Target, ...] = ()
        if cell.vocabulary == REAL and cell.kind == "JSD":
            aims = (Target("memory", figures["memory"], "<=", 1 / 3),)
            if name == "TRL chunked":
                aims = (Target("speed-up", speed.median, ">=", 2.0),)
        figures["Δ gradient of the other"] = apart[name]["Δ gradient"]
        what = f"{name} against ours: {cell.name}"
        yield Row("vocabulary", what, apart["ours"], LIMITS[device], speed, figures, aims)


def sdpo(cell: Cell, sizes: Sizes, device: str, rounds: int) -> Iterator[Row]:
    """Student pass, teacher pass, loss and backward on text, the teacher being the model with a longer prompt."""
    theirs = random_model(sizes, device)
    ours = twin(theirs)
    expose_hidden_states(ours)
    rows = batch(cell, sizes.vocabulary, device).rows
    told = _told(rows, sizes.vocabulary, 32)
    lengths_B1 = rows.completion_mask_BT.sum(1, keepdim=True)
    weight_N = (rows.completion_mask_BT / lengths_B1 / len(lengths_B1))[rows.completion_mask_BT.bool()]

    def our_loss() -> Tensor:
        def distill(student_NV: Tensor, teachers: Mapping[str, Tensor], _: slice) -> Tensor:
            return divergence(student_NV, teachers["told"], 0.5)

        states = {"told": teacher_states(ours, told, copy_head=False)}
        loss = student_scores(ours, rows, 1.0, states, distill, lambda _, where: weight_N[where], policy=False).loss
        assert loss is not None
        return loss

    losses = {"TRL SDPOTrainer": stock.sdpo_loss(theirs, rows, told), "ours": our_loss}
    steps = {name: step_of(loss, dict(theirs.named_parameters())) for name, loss in losses.items()}
    apart = _errors(steps["TRL SDPOTrainer"](), steps["ours"]())
    if device == "cuda":
        theirs.to(torch.bfloat16)
    for name, speed, figures in _compared(steps, device, rounds, theirs.zero_grad):
        what = f"{name} against ours: SDPO loss, V {sizes.vocabulary:,}, {cell.name}"
        yield Row("vocabulary", what, apart, LIMITS[device], speed, figures)


def _compared(
    steps: dict[str, Step], device: str, rounds: int, before: Callable[[], None] = lambda: None
) -> Iterator[tuple[str, Ratio, dict[str, float]]]:
    """Each of the others against ours. before: called where a step's memory is about to be measured."""
    # Without their results, which would be held while the next one runs.
    calls = {name: lambda step=step: step() and None for name, step in steps.items()}  # type: ignore[misc]
    found = times(calls, rounds, device)
    for name in steps:
        if name != "ours":
            figures = peaks({"other": calls[name], "ours": calls["ours"]}, device, before)
            yield name, ratio(found[name], found["ours"], device), figures


def _errors(theirs: Found, ours: Found) -> dict[str, float]:
    return {"Δ loss": float((theirs[0] - ours[0]).abs()), "Δ gradient": relative(ours[1], theirs[1])}


def _told(rows: Rows, vocabulary: int, more: int) -> Rows:
    """The rows with `more` drawn tokens after their prompts."""
    random = torch.Generator().manual_seed(1)
    hint = torch.randint(FIRST, vocabulary, (1, more), generator=random).to(rows.prompt_BP.device)
    prompt_BP = torch.cat([rows.prompt_BP, hint.expand(len(rows.prompt_BP), -1)], 1)
    return replace(
        rows, prompt_BP=prompt_BP, prompt_mask_BP=torch.ones_like(prompt_BP), types_BP=torch.zeros_like(prompt_BP)
    )
