"""Groups in several micro-batches against rows forwarded one by one: log-probabilities, gradients, and what is kept."""

import gc
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.distributed as dist
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.distributed.fsdp import fully_shard
from torch.utils._pytree import tree_leaves

from runners.forward import hidden_states, logprobs, packing, split_group
from runners.forward.batch import Rows, together
from runners.forward.prefix_attention import KeptKeys
from runners.forward.split_group import SplitGroup, can_split, parts_of_group
from tests.support.tiny_vlm import Prompt, batch, tiny_vlm
from tests.unit.runners.forward.test_packing import BATCHES, ONE, OTHER, TEXT, other_pictures, shuffled

GROUPS = {
    **{name: BATCHES[name] for name in ("one group", "ragged", "two pictures", "text only", "an empty completion")},
    "the last one empty": batch([ONE] * 3, [3, 2, 0]),
}
Found = tuple[Tensor, dict[str, Tensor]]


def parts_of(rows: Rows, size: int) -> list[list[int]]:
    B = len(rows.prompt_BP)
    return [list(range(start, min(start + size, B))) for start in range(0, B, size)]


def updated(model: Any, hidden: Callable[[Any, Rows], Tensor], rows: Rows, parts: list[list[int]]) -> Found:
    """Log-probabilities of the completion tokens, and every parameter's gradient of a weighted sum of them, gathered
    over `parts`, each with its backward pass."""
    model.zero_grad()
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    weight_BT = torch.linspace(-1, 2, rows.completion_BT.numel()).view(rows.completion_BT.shape)
    found = []
    for part in parts:
        own = rows.select(part)
        mask_BT = own.completion_mask_BT.bool()
        logits_NV = inner.get_output_embeddings()(hidden(inner, own))
        logp_N = logits_NV.log_softmax(-1).gather(-1, own.completion_BT[mask_BT][:, None])[:, 0]
        (logp_N * weight_BT[part][mask_BT]).sum().backward()
        found.append(logp_N.detach())
    return torch.cat(found), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_alike(got: Found, expected: Found) -> None:
    torch.testing.assert_close(got[0], expected[0], atol=1e-7, rtol=0)
    assert expected[0].std() > 0.3, "all tokens look alike to this model: nothing is compared"
    assert got[1].keys() == expected[1].keys()
    largest = max(g.norm() for g in expected[1].values())
    for name, grad in expected[1].items():
        difference = (got[1][name] - grad).norm() / max(grad.norm(), 1e-3 * largest)
        assert difference < 1e-6, f"{name}: {difference:.1e}"


def assert_equal_to_rows(model: Any, rows: Rows, parts: list[list[int]]) -> dict[str, Tensor]:
    """In float64; norms and rotary angles stay float32."""
    inner = model.double().get_base_model() if hasattr(model, "peft_config") else model.double()
    packing.prepare(inner)
    expected = updated(model, hidden_states.by_row, rows, [[row] for part in parts for row in part])
    got = updated(model, SplitGroup(len(parts)).hidden_states, rows, parts)
    assert_alike(got, expected)
    return got[1]


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("name", GROUPS)
def test_a_group_in_parts_equals_single_rows(name: str, size: int) -> None:
    rows = GROUPS[name]
    grads = assert_equal_to_rows(tiny_vlm(), rows, parts_of(rows, size))
    tower = [g for n, g in grads.items() if "visual" in n]
    assert bool(tower) == bool(rows.pictures)
    assert all(g.abs().max() > 0 for n, g in grads.items() if "deepstack_merger" in n and n.endswith("weight"))


def test_rows_that_are_left_out_are_not_missed() -> None:
    assert_equal_to_rows(tiny_vlm(), GROUPS["ragged"], [[1], [2, 3]])


def test_lora() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
        adapted = get_peft_model(tiny_vlm(), config)
    grads = assert_equal_to_rows(adapted, GROUPS["ragged"], [[0, 1], [2, 3]])
    assert all("lora" in name for name in grads)


def test_a_backward_pass_that_goes_on_through_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under DDP."""
    monkeypatch.setattr(split_group, "_one_gradient_each", lambda model: True)
    assert_equal_to_rows(tiny_vlm(), GROUPS["ragged"], [[0, 1], [2, 3]])


def test_two_groups_one_after_the_other() -> None:
    model, rows = tiny_vlm().double(), BATCHES["two groups"]
    packing.prepare(model)
    groups = {first: SplitGroup(3) for first in (0, 3)}

    def hidden(model: Any, own: Rows) -> Tensor:
        return groups[0 if torch.equal(own.prompt_BP[0], rows.prompt_BP[0]) else 3].hidden_states(model, own)

    single = parts_of(rows, 1)
    assert_alike(updated(model, hidden, rows, single), updated(model, hidden_states.by_row, rows, single))


def checkpointed(model: Any, reentrant: bool) -> Any:
    model.train().gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    model.enable_input_require_grads()
    return model


def test_a_layer_is_handed_no_keys_in_the_open() -> None:
    """FSDP2 hooks each tensor with a gradient that it finds in a layer's arguments: each layer would give the keys of
    all others a gradient of zeros."""
    model, rows = tiny_vlm(), GROUPS["one group"]
    packing.prepare(model)
    found = list[Any]()
    model.model.language_model.layers[1].register_forward_pre_hook(
        lambda _, args, kwargs: found.append(tree_leaves((args[1:], kwargs))), with_kwargs=True
    )
    group = SplitGroup(2)
    group.hidden_states(model, rows.select([0, 1]))
    assert len(found) == 2 and any(isinstance(x, Mapping) for x in found[1]), "prompt, and completions with its keys"
    assert not [x for leaves in found for x in leaves if isinstance(x, Tensor) and x.requires_grad]


def test_gradient_checkpointing_recomputes_the_same_layout() -> None:
    rows, parts, found = GROUPS["ragged"], [[0, 1], [2, 3]], []
    for model in (tiny_vlm(), checkpointed(tiny_vlm(), reentrant=False)):
        packing.prepare(model)
        found.append(updated(model, SplitGroup(2).hidden_states, rows, parts))
    assert torch.equal(found[0][0], found[1][0])
    for name, grad in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], grad, atol=0, rtol=0)


def test_what_checkpointing_computes_again_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[KeptKeys] = []
    monkeypatch.setattr(split_group, "KeptKeys", lambda: made.append(KeptKeys()) or made[-1])
    model, rows = checkpointed(tiny_vlm(), reentrant=False), GROUPS["ragged"]
    packing.prepare(model)
    layers, again = model.model.language_model.layers, list[int]()
    for layer in layers:
        layer.self_attn.register_forward_pre_hook(lambda module, _: again.append(module.layer_idx))
    updated(model, SplitGroup(1).hidden_states, rows, [[0, 1, 2, 3]])
    assert len(again) == 4 * len(layers), "prompt and completions, each of them twice"
    assert [kept.take() for kept in made] == [{}]


def test_prompt_and_picture_are_computed_once() -> None:
    model, rows = tiny_vlm(), batch([ONE] * 4, [4] * 4)
    packing.prepare(model)
    seen: dict[str, list[int]] = {"tower": [], "decoder": [], "backwards": []}
    model.model.visual.patch_embed.register_forward_pre_hook(lambda _, x: seen["tower"].append(len(x[0])))
    model.model.language_model.norm.register_forward_pre_hook(lambda _, x: seen["decoder"].append(x[0][..., 0].numel()))
    model.model.visual.patch_embed.proj.weight.register_hook(lambda _: seen["backwards"].append(1))
    updated(model, SplitGroup(4).hidden_states, rows, parts_of(rows, 1))
    assert seen == {"tower": [16], "decoder": [len(ONE.ids), 4, 4, 4, 4], "backwards": [1]}


# --- what is kept, and for how long -----------------------------------------------------------------------------


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_gradients_of_the_last_part_do_not_wait_for_the_prompts() -> None:
    """They would be held whole beside those of the parts before it."""
    model, rows, group = tiny_vlm(), GROUPS["ragged"], SplitGroup(2)
    packing.prepare(model)
    weights = dict(model.model.language_model.layers.named_parameters())
    known = list[str]()
    for part in ([0, 1], [2, 3]):
        hidden_ND = group.hidden_states(model, rows.select(part))
        if group.begun:
            prompt = group._prompt
        else:
            for p in weights.values():
                p.grad = None
            prompt.tensors[0].register_hook(lambda _: known.extend(n for n, p in weights.items() if p.grad is not None))
        hidden_ND.sum().backward()
    assert known == list(weights)


@pytest.mark.parametrize("checkpoints", [False, True])
def test_a_group_that_is_broken_off_leaves_nothing(checkpoints: bool) -> None:
    """Without the collector: the graph of a prompt must not hold itself. And the next group begins anew."""
    model, rows = tiny_vlm(), GROUPS["ragged"]
    model = checkpointed(model, reentrant=False) if checkpoints else model
    packing.prepare(model)
    expected = updated(model, SplitGroup(2).hidden_states, rows, [[0, 1], [2, 3]])
    with without_collector():
        group = SplitGroup(2)
        group.hidden_states(model, rows.select([0, 1])).sum().backward()
        assert group._prompt is not None
        kept = [weakref.ref(x) for x in (*group._prompt.tensors, *group._prompt.leaves)]
        del group
        assert [ref for ref in kept if ref() is not None] == []
    again = updated(model, SplitGroup(2).hidden_states, rows, [[0, 1], [2, 3]])
    assert torch.equal(again[0], expected[0]) and all(torch.equal(again[1][n], g) for n, g in expected[1].items())


def test_after_its_last_part_a_group_keeps_nothing_and_is_over() -> None:
    model, rows, group = tiny_vlm(), GROUPS["ragged"], SplitGroup(1)
    packing.prepare(model)
    hidden_ND = group.hidden_states(model, rows)
    assert group._prompt is None and group._shown == ()
    hidden_ND.sum().backward()
    with pytest.raises(ValueError, match="another group"):
        group.hidden_states(model, rows)


def repainted() -> Prompt:
    prompt = Prompt(1, 6, [4])
    prompt.pixels = [prompt.pixels[0].roll(1, 0)]
    return prompt


@pytest.mark.parametrize("other", [OTHER, TEXT, repainted()], ids=["prompt", "no picture", "picture"])
def test_rows_of_another_group_are_refused(other: Prompt) -> None:
    model, rows = tiny_vlm(), batch([ONE, ONE, other], [3, 4, 5])
    packing.prepare(model)
    group = SplitGroup(2)
    with pytest.raises(ValueError, match="2 groups"):
        group.hidden_states(model, rows)
    group.hidden_states(model, rows.select([0, 1]))
    with pytest.raises(ValueError, match="another group"):
        group.hidden_states(model, rows.select([2]))


def test_micro_batches_together_are_the_batch() -> None:
    for name in ("some without", "text only"):
        rows = BATCHES[name]
        whole = together(rows.split(2))
        assert (whole.images_B, whole.pictures.keys()) == (rows.images_B, rows.pictures.keys())
        assert all(torch.equal(whole.pictures[key], rows.pictures[key]) for key in rows.pictures)
        for field in ("prompt_BP", "prompt_mask_BP", "completion_BT", "completion_mask_BT", "types_BP"):
            assert torch.equal(getattr(whole, field), getattr(rows, field))


def test_what_is_told_of_parts_in_one_pass_is_what_each_is_told() -> None:
    model, rows = tiny_vlm(), batch([ONE, OTHER, ONE, ONE], [3, 5, 2, 4])
    logprobs.expose_hidden_states(model)
    parts = rows.split(2)
    told = logprobs.states_of_parts(model, parts, copy_head=False)
    for one, part in zip(told, parts, strict=True):
        torch.testing.assert_close(one.hidden_ND, hidden_states.by_row(model, part), atol=2e-5, rtol=0)
        assert not one.hidden_ND.requires_grad


# --- when, and the check ----------------------------------------------------------------------------------------


def through_forward(size: int, rows: Rows) -> Callable[[Any, Rows], Tensor]:
    group = SplitGroup(len(parts_of(rows, size)))
    return lambda inner, own: inner(rows=own, then=lambda hidden_ND, head: hidden_ND, group=group)


def test_the_first_part_is_checked_and_parts_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows, calls = tiny_vlm(), GROUPS["ragged"], list[str]()
    logprobs.expose_hidden_states(model)
    for where, name in ((SplitGroup, "hidden_states"), (packing, "hidden_states"), (hidden_states, "by_row")):
        whole, told = getattr(where, name), f"{where.__name__.rpartition('.')[2]}.{name}"
        monkeypatch.setattr(where, name, lambda *a, whole=whole, told=told: (calls.append(told), whole(*a))[1])
    expected = updated(model, hidden_states.by_row, rows, parts_of(rows, 1))
    calls.clear()
    for _ in range(2):
        got = updated(model, through_forward(2, rows), rows, parts_of(rows, 2))
        torch.testing.assert_close(got[0], expected[0], atol=1e-5, rtol=0)
    part = "SplitGroup.hidden_states"
    assert calls == [part, "hidden_states.by_row", part, part, part, part]
    with torch.no_grad():  # nobody needs a graph: the rows as they come
        through_forward(2, rows)(model, rows.select([0, 1]))
    assert set(calls[6:]) == {"packing.hidden_states", "hidden_states.by_row"}


@pytest.mark.parametrize("wrong", [shuffled, other_pictures])
def test_a_wrong_layout_falls_back_to_rows_with_one_line(
    wrong: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, rows, right = tiny_vlm(), GROUPS["one group"], SplitGroup.hidden_states
    monkeypatch.setattr(SplitGroup, "hidden_states", lambda self, model, rows: right(self, model, wrong(model, rows)))
    expected = updated(model, hidden_states.by_row, rows, parts_of(rows, 2))
    logprobs.expose_hidden_states(model)
    for _ in range(2):
        got = updated(model, through_forward(2, rows), rows, parts_of(rows, 2))
        assert torch.equal(got[0], expected[0]) and all(torch.equal(got[1][n], g) for n, g in expected[1].items())
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "every row is forwarded by itself" in said[0]


def test_reentrant_checkpointing_takes_each_part_by_itself() -> None:
    """There the keys would come without their graph, and the prompt would get no gradient from them."""
    model, rows = checkpointed(tiny_vlm(), reentrant=True).double(), GROUPS["ragged"]
    expected = updated(model, hidden_states.by_row, rows, parts_of(rows, 2))
    assert not can_split(model) and can_split(checkpointed(tiny_vlm(), reentrant=False))
    logprobs.expose_hidden_states(model)
    assert_alike(updated(model, through_forward(2, rows), rows, parts_of(rows, 2)), expected)
    with torch.no_grad():
        assert not can_split(tiny_vlm())


@pytest.mark.parametrize(
    ("together", "splits"), [(["layers.0"], True), (["norm"], False), (["norm", "embed_tokens"], False)]
)
def test_a_sharded_last_norm_takes_each_part_by_itself(together: list[str], splits: bool) -> None:
    """What else is sharded splits: see test_split_group_sharded.py."""
    model = tiny_vlm()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        mesh = dist.device_mesh.init_device_mesh("cpu", (1,))
        unit = [model.model.language_model.get_submodule(name) for name in together]
        fully_shard(unit if len(unit) > 1 else unit[0], mesh=mesh)
        assert can_split(model) == splits
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [((2, 8, 8), 4), ((8, 8, 1), 1), ((16, 8, 1), 1), ((3, 8, 8), 1), ((2, 8, 2), 1), ((2, 8, 6), 1), ((1, 1, 4), 1)],
)
def test_in_how_many_parts_a_group_comes(sizes: tuple[int, int, int], parts: int) -> None:
    """Micro-batch, group, and micro-batches of an update: an even part of a group, and whole groups in an update."""
    assert parts_of_group(*sizes) == parts
