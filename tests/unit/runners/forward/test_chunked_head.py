"""Losses over the vocabulary against plain formulas, autograd and TRL."""

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from trl.trainer.utils import selective_log_softmax_and_entropy

from methods.functional import divergence, importance_ratio
from runners.forward import chunked_head, lm_head
from runners.forward.chunked_head import distil, log_probs, sampled
from runners.forward.lm_head import PLAIN, Head, HeadForm
from runners.speed.measure import peak

N, V, D, TEMPERATURE = 23, 57, 9, 0.7
DISTILLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "forward KL": partial(divergence, beta=0.0),
    "reverse KL": partial(divergence, beta=1.0),
    "JSD": partial(divergence, beta=0.5),
    "clipped": partial(divergence, beta=0.5, clip=0.01),
    "student's top 5 and the rest": partial(divergence, beta=1.0, support="student", k=5),
    "teacher's top 5": partial(divergence, beta=0.0, support="teacher", k=5, tail=False),
    "squared difference": lambda s, t: (s - t).square().mean(-1),  # not shift-invariant
}


FORMS = [PLAIN, HeadForm(0.5, 3.0)]


def _formed(logits: Tensor, form: HeadForm) -> Tensor:
    """As transformers' Gemma and Cohere have it."""
    logits = logits * form.scale
    return logits if form.cap is None else torch.tanh(logits / form.cap) * form.cap


class Case:
    """Random hidden states and heads; the head's and the hidden states' tensors are leaves with a gradient."""

    def __init__(
        self, dtype: torch.dtype, n: int = N, v: int = V, d: int = D, bias: bool = True, form: HeadForm = PLAIN
    ) -> None:
        generator = torch.Generator().manual_seed(3)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

        self.hidden_ND, self.teacher_ND = draw(n, d), draw(n, d)
        self.head = Head(draw(v, d), draw(v) if bias else None, form)
        self.teacher_head = Head(draw(v, d), draw(v) if bias else None, form)
        self.ids_N = torch.randint(v, (n,), generator=generator)
        told_N = (torch.arange(n) % 4 != 1).double()
        self.weight_N = (told_N * torch.rand(n, generator=generator, dtype=torch.float64) / n).to(dtype)
        self.old_N = draw(n) - 4
        self.inputs = [x for x in (self.hidden_ND, *self.head[:2]) if x is not None]
        for x in self.inputs:
            x.requires_grad_()

    def exact(self) -> "Case":
        """The same values in float64."""
        wide = copy.copy(self)
        for name in ("hidden_ND", "teacher_ND", "weight_N", "old_N"):
            setattr(wide, name, getattr(self, name).detach().double())
        wide.head, wide.teacher_head = (
            Head(*(None if x is None else x.detach().double() for x in h[:2]), h.form)
            for h in (self.head, self.teacher_head)
        )
        wide.inputs = [x.requires_grad_() for x in (wide.hidden_ND, *wide.head[:2]) if x is not None]
        return wide

    def coefficient(self, student_N: Tensor, where: slice) -> Tensor:
        return self.weight_N[where] * importance_ratio(student_N, self.old_N[where], 2.0)

    def distil(self, distill: Callable[[Tensor, Tensor], Tensor]) -> chunked_head.Divergence:
        return distil(
            self.hidden_ND, self.head, {"told": chunked_head.States(self.teacher_ND, self.teacher_head)}, self.ids_N,
            TEMPERATURE,
            lambda student_NV, teachers, _: distill(student_NV, teachers["told"]), self.coefficient,
        )  # fmt: skip

    def plain(self, distill: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, ...]:
        """The same by the formula, all logits at once, in the order of `Divergence`."""
        student_NV, teacher_NV = (
            _formed(h @ w.T + (0 if b is None else b), form) / TEMPERATURE
            for h, (w, b, form) in ((self.hidden_ND, self.head), (self.teacher_ND, self.teacher_head))
        )
        s_NV, t_NV = (x.detach().to(self.old_N.dtype).log_softmax(-1) for x in (student_NV, teacher_NV))
        student_N, teacher_N = (x.gather(1, self.ids_N[:, None])[:, 0] for x in (s_NV, t_NV))
        ratio_N = (student_N - self.old_N).exp().clamp(max=2.0)
        divergence_N = distill(student_NV, teacher_NV)
        loss = (self.weight_N * ratio_N * divergence_N).sum()
        return loss, divergence_N.detach(), -(s_NV.exp() * s_NV).sum(-1), student_N, teacher_N

    def gradients(self, loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(3 * loss, self.inputs))


def _error(got: Tensor, expected: Tensor) -> float:
    return ((got.double() - expected.double()).norm() / expected.double().norm()).item()


def _gradients_agree(got: list[Tensor], rounded: list[Tensor], exact: list[Tensor], tolerance: float) -> None:
    """`got` is right, or as near to the exact gradient as autograd is through the formula in the same precision: in
    float32 autograd's own is up to 2.5e-6 off."""
    for mine, plain, truth in zip(got, rounded, exact, strict=True):
        assert truth.norm() > 1e-4
        assert _error(mine, truth) < max(tolerance, 2 * _error(plain, truth))


def _chunked(monkeypatch: pytest.MonkeyPatch, tokens: int, vocabulary: int = V, block: int = 2) -> None:
    """`tokens` to a chunk, and `block` of them worked on at once."""
    monkeypatch.setattr(lm_head, "CHUNK", tokens * vocabulary)
    monkeypatch.setattr(chunked_head, "CACHED", block * vocabulary)


# --- divergences -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("name", DISTILLS)
@pytest.mark.parametrize("tokens", [1, 5, N])
@pytest.mark.parametrize("form", FORMS)
def test_divergence_and_gradients_are_those_of_the_plain_formula(
    monkeypatch: pytest.MonkeyPatch, name: str, dtype: torch.dtype, tolerance: float, tokens: int, form: HeadForm
) -> None:
    _chunked(monkeypatch, tokens)
    case, plain, exact = Case(dtype, form=form), Case(dtype, form=form), Case(dtype, form=form).exact()
    got, rounded, expected = case.distil(DISTILLS[name]), plain.plain(DISTILLS[name]), exact.plain(DISTILLS[name])
    found = *got[:4], got.teacher["told"]
    for mine, truth in zip(found, expected, strict=True):
        assert mine.dtype == dtype
        assert _error(mine.detach(), truth.detach()) < tolerance
    assert not any(x.requires_grad for x in found[1:])
    _gradients_agree(case.gradients(got.loss), plain.gradients(rounded[0]), exact.gradients(expected[0]), tolerance)


def test_bfloat16_is_not_worse_than_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over many chunks, whose parts of the head's gradient a sum in bfloat16 would round again and again."""
    _chunked(monkeypatch, tokens=4, block=4)
    case, plain = Case(torch.bfloat16, n=400), Case(torch.bfloat16, n=400)
    exact = case.exact()
    for c in (case, plain):  # as in training: the masks and old log-probabilities are float32
        c.weight_N, c.old_N = exact.weight_N.float(), exact.old_N.float()
    distill = DISTILLS["JSD"]
    truth = exact.gradients(exact.plain(distill)[0])
    mine, autograd = case.gradients(case.distil(distill).loss), plain.gradients(plain.plain(distill)[0])
    for m, a, t in zip(mine, autograd, truth, strict=True):
        assert m.dtype == torch.bfloat16
        assert _error(m, t) < min(0.02, 1.1 * _error(a, t))


def test_under_autocast_the_head_keeps_its_dtype_and_the_products_are_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    _chunked(monkeypatch, tokens=5)
    case, plain = Case(torch.float32), Case(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        got, logp_N = case.distil(DISTILLS["JSD"]), sampled(case.hidden_ND, case.head, case.ids_N, 1.0)[0]
    assert 1e-6 < _error(got.loss.detach(), plain.plain(DISTILLS["JSD"])[0].detach()) < 0.02
    expected = plain.gradients(plain.plain(DISTILLS["JSD"])[0])
    for mine, exact in zip(case.gradients(got.loss), expected, strict=True):
        assert mine.dtype == torch.float32
        assert 1e-6 < _error(mine, exact) < 0.02
    exact_N = (plain.hidden_ND @ plain.head.weight_VD.T + plain.head.bias_V).log_softmax(-1)
    exact_N = exact_N.gather(1, plain.ids_N[:, None])[:, 0]
    for mine, exact in zip(case.gradients(logp_N.sum()), plain.gradients(exact_N.sum()), strict=True):
        assert mine.dtype == torch.float32
        assert 1e-6 < _error(mine, exact) < 0.02


@pytest.mark.parametrize("frozen", [False, True])
def test_four_matrix_products_and_three_with_a_frozen_head(monkeypatch: pytest.MonkeyPatch, frozen: bool) -> None:
    _chunked(monkeypatch, tokens=5)
    case, plain = Case(torch.float64, bias=False), Case(torch.float64, bias=False)
    case.head.weight_VD.requires_grad_(not frozen)
    with FlopCounterMode(display=False) as counter:
        case.distil(DISTILLS["JSD"]).loss.backward()
    assert counter.get_total_flops() == (3 if frozen else 4) * 2 * N * V * D
    assert (case.head.weight_VD.grad is None) == frozen
    plain.plain(DISTILLS["JSD"])[0].backward()
    assert case.hidden_ND.grad is not None
    torch.testing.assert_close(case.hidden_ND.grad, plain.hidden_ND.grad)


def test_without_gradient_there_is_none() -> None:
    case = Case(torch.float64, bias=False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        got = case.distil(DISTILLS["JSD"])
    assert not got.loss.requires_grad
    assert counter.get_total_flops() == 2 * 2 * N * V * D
    torch.testing.assert_close(got.loss, case.plain(DISTILLS["JSD"])[0].detach())


def test_a_second_backward_pass_is_refused() -> None:
    case = Case(torch.float64)
    logp_N, _ = sampled(case.hidden_ND, case.head, case.ids_N, 1.0)
    for loss in (case.distil(DISTILLS["JSD"]).loss, logp_N.sum()):
        with pytest.raises(RuntimeError, match="no second derivative"):
            torch.autograd.grad(loss, case.hidden_ND, create_graph=True)
        loss.backward(retain_graph=True)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_no_tokens_at_all() -> None:
    case = Case(torch.float64, n=0)
    got = case.distil(DISTILLS["JSD"])
    assert got.loss == 0 and got.divergence_N.shape == (0,)
    assert [x.abs().sum() for x in case.gradients(got.loss)] == [0, 0, 0]
    assert sampled(case.hidden_ND, case.head, case.ids_N, 1.0)[0].shape == (0,)


@pytest.mark.parametrize("loss_of", ["distil", "sampled"])
def test_tied_embeddings_add_the_gradients_of_both_uses(monkeypatch: pytest.MonkeyPatch, loss_of: str) -> None:
    _chunked(monkeypatch, tokens=5)
    case = Case(torch.float64, bias=False)
    tied_VD = case.head.weight_VD
    case.hidden_ND = torch.tanh(tied_VD[case.ids_N.roll(1)])  # the input's embedding
    if loss_of == "distil":
        mine, plain = case.distil(DISTILLS["JSD"]).loss, case.plain(DISTILLS["JSD"])[0]
    else:
        mine = sampled(case.hidden_ND, case.head, case.ids_N, TEMPERATURE)[0].sum()
        logp_NV = (case.hidden_ND @ tied_VD.T / TEMPERATURE).log_softmax(-1)
        plain = logp_NV.gather(1, case.ids_N[:, None]).sum()
    alone_VD = torch.autograd.grad(plain, case.hidden_ND, retain_graph=True)[0]
    (got_VD,), (expected_VD,) = (torch.autograd.grad(x, tied_VD, retain_graph=True) for x in (mine, plain))
    assert alone_VD.norm() > 1e-3, "nothing flows through the input: the sum of both was not tested"
    assert _error(got_VD, expected_VD) < 1e-12


# --- the sampled token -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("tokens", [1, 5, N])
@pytest.mark.parametrize("form", FORMS)
def test_log_probabilities_and_entropies_are_those_of_trl(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, tolerance: float, keep: bool, tokens: int, form: HeadForm
) -> None:
    _chunked(monkeypatch, tokens)
    monkeypatch.setattr(chunked_head, "KEEP", N * V if keep else N * V - 1)
    case, plain, exact = Case(dtype, form=form), Case(dtype, form=form), Case(dtype, form=form).exact()

    def trl(c: Case) -> tuple[Tensor, Tensor]:
        logits_NV = _formed(c.hidden_ND @ c.head.weight_VD.T + c.head.bias_V, form)
        return selective_log_softmax_and_entropy(logits_NV, c.ids_N, temperature=TEMPERATURE)

    logp_N, entropy_N = sampled(case.hidden_ND, case.head, case.ids_N, TEMPERATURE)
    (rounded_N, _), (exact_N, exact_entropy_N) = trl(plain), trl(exact)
    assert logp_N.dtype == entropy_N.dtype == dtype
    assert _error(logp_N.detach(), exact_N.detach()) < tolerance
    assert _error(entropy_N, exact_entropy_N.detach()) < tolerance
    assert not entropy_N.requires_grad
    pairs = ((case, logp_N), (plain, rounded_N), (exact, exact_N))
    got, rounded, truth = (c.gradients((c.weight_N * x_N.exp()).sum()) for c, x_N in pairs)
    _gradients_agree(got, rounded, truth, tolerance)


@pytest.mark.parametrize(("keep", "frozen", "products"), [(True, 0, 3), (False, 0, 4), (True, 1, 2), (False, 1, 3)])
def test_kept_logits_save_a_matrix_product(
    monkeypatch: pytest.MonkeyPatch, keep: bool, frozen: int, products: int
) -> None:
    _chunked(monkeypatch, tokens=5)
    monkeypatch.setattr(chunked_head, "KEEP", N * V if keep else 0)
    case = Case(torch.float32, bias=False)
    case.head.weight_VD.requires_grad_(not frozen)
    with FlopCounterMode(display=False) as counter:
        sampled(case.hidden_ND, case.head, case.ids_N, 1.0)[0].sum().backward()
    assert counter.get_total_flops() == products * 2 * N * V * D


# --- memory ----------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_tokens_times_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    v, d = 8_000, 4
    _chunked(monkeypatch, tokens=16, vocabulary=v)
    monkeypatch.setattr(chunked_head, "KEEP", 0)
    few, many = (Case(torch.float32, n=n, v=v, d=d, bias=False) for n in (32, 128))

    def distilled(case: Case) -> None:
        case.distil(DISTILLS["JSD"]).loss.backward()

    def scored(case: Case) -> None:
        sampled(case.hidden_ND, case.head, case.ids_N, 1.0)[0].sum().backward()

    for step in (distilled, scored):
        peaks = [peak(partial(step, case), "cpu") for case in (few, many)]
        assert peaks[0] > 16 * v * 4 / 2**20, "a chunk of logits alone is more: nothing was measured"
        assert peaks[1] < 1.1 * peaks[0]
    naive = peak(lambda: many.plain(DISTILLS["JSD"])[0].backward(), "cpu")
    assert peak(partial(distilled, many), "cpu") < naive / 3


@pytest.mark.parametrize("chunk", [1 << 24, 5 * V])
def test_log_probabilities_without_gradient(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """In one chunk, and in chunks of five tokens and a rest."""
    monkeypatch.setattr(lm_head, "CHUNK", chunk)
    generator = torch.Generator().manual_seed(5)
    hidden_ND, weight_VD = (torch.randn(n, D, generator=generator, dtype=torch.float64) for n in (N, V))
    ids_N = torch.randint(0, V, (N,), generator=generator)
    expected_N = (hidden_ND @ weight_VD.T / TEMPERATURE).softmax(-1).log()[torch.arange(N), ids_N]
    torch.testing.assert_close(log_probs(hidden_ND, Head(weight_VD, None), ids_N, TEMPERATURE), expected_N)
