"""Attention merged by log-sum-exp, against all scores written out, and what is used where kernels fail."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from runners.forward import attention_kernels, group_attention, hidden_states, packing
from runners.forward.attention_kernels import ON_CPU, Kernel
from runners.forward.group_attention import Segment
from tests.support.tiny_vlm import Prompt, batch, tiny_vlm

G, HEADS, KV, C, P, SIZE, SCALE = 3, 4, 2, 5, 7, 16, 0.3
SPLIT = ON_CPU._replace(split=True)  # right, and none that is trusted


def over_rows(way: Callable[..., Tensor], query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> Tensor:
    """An attention of packed tokens as one of padded rows, (G, heads, C, d), all of one length."""
    segment = Segment.of(0, rest[0].shape[2], [query.shape[2]] * G, query.device)
    return segment.padded(way(segment, *(segment.packed(x) for x in (query, key, value)), *rest))


def attend(*args: Any) -> Tensor:
    return over_rows(group_attention.group_attention, *args)


def repeated(*args: Any) -> Tensor:
    return over_rows(group_attention._expanded, *args)


def with_kernel(kernel: Kernel) -> Callable[..., Tensor]:
    return partial(over_rows, partial(group_attention._Merged.apply, kernel))


@pytest.fixture(autouse=True)
def _nothing_is_known_of_any_kernel() -> Iterator[None]:
    group_attention._kernel.cache_clear()
    yield
    group_attention._kernel.cache_clear()


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Kernel], None]:
    """Puts a kernel in the place of the CPU's, in float32."""
    return lambda kernel: monkeypatch.setitem(attention_kernels.KERNELS, ("cpu", torch.float32), kernel)


def inputs(
    dtype: torch.dtype, device: str = "cpu", size: int = SIZE, lengths: tuple[int, int] = (C, P)
) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    own, prompt = lengths
    shapes = [(G, HEADS, own), (G, KV, own), (G, KV, own), (1, KV, prompt), (1, KV, prompt)]
    return [torch.randn(*s, size, generator=random).to(device, dtype).requires_grad_() for s in shapes]


def with_gradients(way: Any, tensors: list[Tensor]) -> list[Tensor]:
    """The result, and each input's gradient of a weighted sum of it."""
    out = way(*tensors, SCALE * (SIZE / tensors[0].shape[-1]) ** 0.5)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
    for x in tensors:
        x.grad = None
    out.backward(weight)
    return [out.detach(), *(x.grad for x in tensors if x.grad is not None)]


def in_float64(tensors: list[Tensor]) -> list[Tensor]:
    """What softmax over the prompt's and the own keys gives, with all scores written out."""

    def written_out(query: Tensor, key: Tensor, value: Tensor, key_P: Tensor, value_P: Tensor, scale: float) -> Tensor:
        keys, values = (
            torch.cat([x_P.expand(G, -1, -1, -1), x], 2).repeat_interleave(HEADS // KV, 1)
            for x, x_P in ((key, key_P), (value, value_P))
        )
        scores = query @ keys.transpose(-1, -2) * scale
        prompt, own = key_P.shape[2], query.shape[2]
        later = torch.arange(prompt + own)[None] > prompt + torch.arange(own)[:, None]
        return scores.masked_fill(later.to(scores.device), -torch.inf).softmax(-1) @ values

    return with_gradients(written_out, [x.detach().double().requires_grad_() for x in tensors])


def difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest relative one of norms."""
    return max(float((a.detach() - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("lengths", [(C, P), (1, P), (33, 1)])
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("kernel", [ON_CPU, SPLIT, None])
def test_all_ways_are_softmax_over_prompt_and_own_keys(
    kernel: Kernel | None, dtype: torch.dtype, allowed: float, lengths: tuple[int, int]
) -> None:
    tensors = inputs(dtype, lengths=lengths)
    way = repeated if kernel is None else with_kernel(kernel)
    assert difference(with_gradients(way, tensors), in_float64(tensors)) < allowed


@pytest.mark.parametrize("kernel", [ON_CPU, SPLIT, None])
def test_completions_of_unequal_lengths_are_as_single_ones(kernel: Kernel | None) -> None:
    way: Callable[..., Tensor] = (
        group_attention._expanded if kernel is None else partial(group_attention._Merged.apply, kernel)
    )
    lengths, sizes = [4, 1, 6], [(HEADS, 11), (KV, 11), (KV, 11), (KV, P), (KV, P)]
    random = torch.Generator().manual_seed(0)
    tensors = [torch.randn(1, *s, SIZE, generator=random).double().requires_grad_() for s in sizes]
    weight = torch.randn(1, HEADS, 11, SIZE, generator=random).double()

    def one_by_one(query: Tensor, key: Tensor, value: Tensor, key_P: Tensor, value_P: Tensor) -> Tensor:
        parts = []
        for own in zip(*(x.split(lengths, 2) for x in (query, key, value)), strict=True):
            keys, values = (torch.cat(pair, 2) for pair in ((key_P, own[1]), (value_P, own[2])))
            scores = own[0].unflatten(1, (KV, -1)) @ keys[:, :, None].transpose(-1, -2) * SCALE
            later = torch.ones(scores.shape[-2:]).triu(P + 1).bool()
            parts.append((scores.masked_fill(later, -torch.inf).softmax(-1) @ values[:, :, None]).flatten(1, 2))
        return torch.cat(parts, 2)

    found = []
    for out in (way(Segment.of(0, P, lengths, weight.device), *tensors, SCALE), one_by_one(*tensors)):
        found.append([out.detach(), *torch.autograd.grad(out, tensors, weight)])
    assert difference(*found) < 1e-13


def test_in_16_bits_the_merge_is_not_rounded_by_itself() -> None:
    tensors = inputs(torch.bfloat16, lengths=(60, 50))
    expected, found = in_float64(tensors), with_gradients(attend, tensors)
    once = difference([expected[0].bfloat16()], expected[:1])
    assert difference(found[:1], expected[:1]) < 1.8 * once, "more than what the kernels and the result are rounded"
    assert difference(found, expected) < 2**-7
    assert {x.dtype for x in found} == {torch.bfloat16}


def wrong_sum(qkv: Any, causal: bool, scale: float) -> tuple[Tensor, ...]:
    out, lse = ON_CPU.forward(qkv, causal, scale)
    return out, lse / torch.tensor(2.0).log()  # in bits


def wrong_gradient(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
    of_query, of_key, of_value = ON_CPU.backward(*args)
    return of_query, of_key, 1.001 * of_value


def no_number(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
    of_query, of_key, of_value = ON_CPU.backward(*args)
    of_key[0, 0, 0, 0] = torch.nan
    return of_query, of_key, of_value


def missing(*args: Any) -> Any:
    raise NotImplementedError("this build has no such kernel\nand more lines")


def one_result_less(qkv: Any, causal: bool, scale: float) -> tuple[Tensor, ...]:
    return (ON_CPU.forward(qkv, causal, scale)[0],)


WRONG = {
    "the log-sum-exp": (Kernel(wrong_sum, ON_CPU.backward, False), "differs by 0."),
    "gradients alone": (Kernel(ON_CPU.forward, wrong_gradient, True), "differs by 0.001 "),
    "no number": (Kernel(ON_CPU.forward, no_number, True), "differs by nan"),
    "no kernel": (Kernel(missing, missing, True), "fails (this build has no such kernel) (torch.float32, cpu"),
    "no backward pass": (Kernel(ON_CPU.forward, missing, True), "fails (this build has no such kernel)"),
    "another signature": (Kernel(one_result_less, ON_CPU.backward, True), "fails (not enough values"),
}


@pytest.mark.parametrize("name", WRONG)
def test_kernels_that_fail_are_not_used_and_one_line_says_so(
    name: str, use: Callable[[Kernel], None], capsys: pytest.CaptureFixture[str]
) -> None:
    kernel, fault = WRONG[name]
    use(kernel)
    tensors = inputs(torch.float32)
    expected = with_gradients(repeated, tensors)
    for _ in range(2):
        assert all(map(torch.equal, with_gradients(attend, tensors), expected))
    with torch.no_grad():
        assert torch.equal(attend(*tensors, SCALE), expected[0])
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith(f"shared prefix: attention merged by log-sum-exp {fault}")
    assert said.endswith("the prompt's keys are repeated for each completion from here on")


def passes(*tensors: Tensor) -> Tensor:
    return attend(*tensors, SCALE)


def without_gradient(*tensors: Tensor) -> Tensor:
    with torch.no_grad():
        return passes(*tensors)


def in_inference_mode(*tensors: Tensor) -> Tensor:
    with torch.inference_mode():
        return passes(*tensors)


@pytest.mark.parametrize("first", [passes, without_gradient, in_inference_mode])
def test_kernels_are_compared_once_whatever_the_first_pass(
    first: Any, use: Callable[[Kernel], None], capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[bool] = []

    def counted(*args: Any) -> Any:
        runs.append(args[-2])
        return ON_CPU.forward(*args)

    use(SPLIT._replace(forward=counted))
    tensors, before = inputs(torch.float32), torch.get_rng_state()
    expected = in_float64(tensors)
    first(*tensors)
    assert runs == [False, True] * 2, "one comparison, and the pass"
    assert difference(with_gradients(attend, tensors), expected) < 1e-6
    assert runs == [False, True] * 3
    assert torch.equal(torch.get_rng_state(), before), "random numbers of the training run were used"
    attend(*inputs(torch.float32, size=24), SCALE)
    assert runs == [False, True] * 5, "another head size is compared by itself"
    assert not capsys.readouterr().err


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("kernel", [SPLIT, WRONG["gradients alone"][0]])
def test_gradient_checkpointing_does_not_see_the_comparison(
    kernel: Kernel, reentrant: bool, use: Callable[[Kernel], None]
) -> None:
    use(kernel)
    tensors = inputs(torch.float32)

    def checkpointed(*args: Any) -> Tensor:
        out: Tensor = checkpoint(attend, *args, use_reentrant=reentrant)
        return out

    assert difference(with_gradients(checkpointed, tensors), in_float64(tensors)) < 1e-6


def test_a_model_whose_kernels_fail_gives_what_rows_give(
    use: Callable[[Kernel], None], capsys: pytest.CaptureFixture[str]
) -> None:
    use(WRONG["gradients alone"][0])
    model, prompt = tiny_vlm().train(), Prompt(1, 6, [4])
    packing.prepare(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    found = []
    for layout in (packing.hidden_states, hidden_states.by_row):
        hidden_ND = layout(model, batch([prompt] * 3, [3, 6, 2]))
        model.zero_grad()
        (hidden_ND * torch.linspace(-1, 2, len(hidden_ND))[:, None]).sum().backward()
        grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        found.append([hidden_ND.detach(), torch.cat(grads)])
    assert difference(*found) < 1e-5
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("size", [12, 264])
def test_head_sizes_that_flash_attention_lacks_are_not_tried(
    size: int, use: Callable[[Kernel], None], capsys: pytest.CaptureFixture[str]
) -> None:
    use(WRONG["no kernel"][0])
    tensors = inputs(torch.float32, size=size)
    assert difference(with_gradients(attend, tensors), in_float64(tensors)) < 1e-6
    assert not capsys.readouterr().err


def test_under_autocast_keys_may_be_wider_than_values() -> None:
    query, key, value, key_P, value_P = inputs(torch.float32)
    narrow = (query, key, value.bfloat16(), key_P, value_P.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        out = attend(*narrow, SCALE)
    assert difference([out], in_float64([query, key, value, key_P, value_P])[:1]) < 0.01


def test_every_device_without_kernels_repeats_the_keys() -> None:
    tensors = [x.detach().to("meta") for x in inputs(torch.float32)]
    assert group_attention._kernel(tensors[0].device, torch.float32, SIZE) is None
    assert attend(*tensors, SCALE).shape == (G, HEADS, C, SIZE)
