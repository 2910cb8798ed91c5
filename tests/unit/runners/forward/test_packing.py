"""Packed groups against rows forwarded one by one: log-probabilities, gradients, and what is computed how often."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from runners.forward import hidden_states, packing
from runners.forward.batch import PICTURES, Rows, groups_of
from runners.forward.logprobs import expose_hidden_states
from tests.support.tiny_vlm import Prompt, batch, tiny_vlm

ONE, OTHER, TWO_PICTURES, TEXT = Prompt(1, 6, [4]), Prompt(2, 9, [6]), Prompt(3, 4, [4, 8]), Prompt(4, 7)
BATCHES = {
    "one group": batch([ONE] * 4, [5, 5, 5, 5]),
    "ragged": batch([ONE] * 4, [1, 7, 3, 5]),
    "two groups": batch([ONE] * 3 + [OTHER] * 3, [4, 2, 6, 3, 3, 1]),
    "scattered rows": batch([ONE, OTHER, ONE, OTHER, ONE], [4, 2, 6, 3, 1]),
    "two pictures": batch([TWO_PICTURES] * 3, [2, 5, 4]),
    "text only": batch([TEXT] * 3, [3, 6, 2]),
    "some without": batch([ONE] * 2 + [TEXT] * 2 + [TWO_PICTURES], [3, 6, 2, 4, 5]),
    "no groups": batch([ONE, OTHER, TEXT], [3, 5, 2]),
    "an empty completion": batch([ONE] * 3, [3, 0, 2]),
}


def scored(model: Any, hidden: Any, rows: Rows) -> tuple[Tensor, dict[str, Tensor]]:
    """Log-probabilities of the completion tokens, and every parameter's gradient of a weighted sum of them."""
    model.zero_grad()
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    ids_N = rows.completion_BT[rows.completion_mask_BT.bool()]
    logits_NV = inner.get_output_embeddings()(hidden(inner, rows))
    logp_N = logits_NV.log_softmax(-1).gather(-1, ids_N[:, None])[:, 0]
    (logp_N * torch.linspace(-1, 2, len(logp_N))).sum().backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return logp_N.detach(), grads


def assert_equal(model: Any, rows: Rows) -> dict[str, Tensor]:
    """In float64, where an error of the layout cannot hide behind rounding; norms and rotary angles stay float32."""
    model.double()
    expected, expected_grads = scored(model, hidden_states.by_row, rows)
    got, grads = scored(model, packing.hidden_states, rows)
    torch.testing.assert_close(got, expected, atol=1e-7, rtol=0)
    assert expected.std() > 0.3, "all tokens look alike to this model: nothing is compared"
    assert grads.keys() == expected_grads.keys()
    largest = max(g.norm() for g in expected_grads.values())
    for name, grad in grads.items():
        difference = (grad - expected_grads[name]).norm() / max(expected_grads[name].norm(), 1e-3 * largest)
        assert difference < 1e-6, f"{name}: {difference:.1e}"
    return grads


@pytest.mark.parametrize("name", BATCHES)
def test_packed_groups_equal_single_rows(name: str) -> None:
    model = tiny_vlm()
    packing.prepare(model)
    grads = assert_equal(model, BATCHES[name])
    tower = [g for n, g in grads.items() if "visual" in n]
    assert bool(tower) == bool(BATCHES[name].pictures)
    assert all(g.abs().max() > 0 for n, g in grads.items() if "deepstack_merger" in n and n.endswith("weight"))


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_recomputes_the_same_layout(reentrant: bool) -> None:
    model, rows = tiny_vlm().train(), BATCHES["some without"]
    packing.prepare(model)
    plain, plain_grads = scored(model, packing.hidden_states, rows)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    model.enable_input_require_grads()
    again, grads = scored(model, packing.hidden_states, rows)
    assert torch.equal(again, plain)
    for name, grad in grads.items():
        torch.testing.assert_close(grad, plain_grads[name], atol=0, rtol=0)


def test_lora() -> None:
    model = tiny_vlm()
    packing.prepare(model)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    grads = assert_equal(adapted, BATCHES["two groups"])
    assert all("lora" in name for name in grads)


def test_groups_are_rows_with_one_prompt_and_the_same_pictures() -> None:
    twin = Prompt(1, 6, [4])
    twin.pixels = [twin.pixels[0].clone()]
    repainted = Prompt(1, 6, [4])
    repainted.pixels = [repainted.pixels[0].roll(1, 0)]  # the same sum, another picture
    found = groups_of(batch([ONE, repainted, TEXT, twin, TWO_PICTURES, TEXT], [2] * 6))
    assert [(g.rows, g.images) for g in found.groups] == [([0, 3], (0,)), ([1], (1,)), ([2, 5], ()), ([4], (2, 3))]
    assert len(found.images) == 4


def test_prompt_and_picture_are_computed_once() -> None:
    model, rows = tiny_vlm(), batch([ONE] * 8, [4] * 8)
    packing.prepare(model)
    seen: dict[str, list[int]] = {"tower": [], "decoder": []}
    model.model.visual.patch_embed.register_forward_pre_hook(lambda _, x: seen["tower"].append(len(x[0])))
    model.model.language_model.norm.register_forward_pre_hook(lambda _, x: seen["decoder"].append(x[0][..., 0].numel()))
    packing.hidden_states(model, rows)
    hidden_states.by_row(model, rows)
    P = len(ONE.ids)
    assert seen == {"tower": [16, 8 * 16], "decoder": [P + 8 * 4, 8 * (P + 4)]}


def test_rows_select_and_split_keep_each_rows_pictures() -> None:
    rows = BATCHES["some without"]
    chosen = rows.select([4, 2, 0])
    assert chosen.images_B == [2, 0, 1]
    assert torch.equal(chosen.pictures["image_grid_thw"], rows.pictures["image_grid_thw"][[2, 3, 0]])
    assert torch.equal(chosen.pictures["pixel_values"], torch.cat([*TWO_PICTURES.pixels, *ONE.pixels]))
    assert torch.equal(chosen.completion_BT, rows.completion_BT[[4, 2, 0]])
    assert [part.images_B for part in rows.split(2)] == [[1, 1], [0, 0], [2]]
    assert not rows.split(2)[1].pictures


def test_pictures_that_wait_elsewhere_go_to_the_tokens() -> None:
    rows = BATCHES["one group"]
    tokens = ("prompt_BP", "prompt_mask_BP", "completion_BT", "completion_mask_BT", "types_BP")
    there = replace(rows, **{name: getattr(rows, name).to("meta") for name in tokens})
    shown = there.model_inputs()
    assert {shown[name].device.type for name in ("input_ids", *PICTURES)} == {"meta"}
    assert {picture.device.type for picture in there.pictures.values()} == {"cpu"}


def through_forward(model: Any, rows: Rows) -> Tensor:
    hidden_ND: Tensor = model(rows=rows, then=lambda hidden_ND, head: hidden_ND)
    return hidden_ND


def test_a_layout_that_agrees_is_used_and_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = tiny_vlm(), list[str]()
    expose_hidden_states(model)
    for module, name in ((packing, "hidden_states"), (hidden_states, "by_row")):
        whole = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, whole=whole, name=name: (calls.append(name), whole(*a))[1])
    through_forward(model, BATCHES["ragged"])
    assert calls == ["hidden_states", "by_row", "hidden_states"]
    through_forward(model, BATCHES["two groups"])
    assert calls[3:] == ["hidden_states"]
    through_forward(model, BATCHES["text only"])  # another kind
    assert sorted(calls[4:]) == ["by_row", "hidden_states", "hidden_states"]


def shuffled(model: Any, rows: Rows) -> Rows:
    order = torch.arange(len(rows.completion_BT)).roll(1)
    return Rows(rows.prompt_BP, rows.prompt_mask_BP, rows.completion_BT[order], rows.completion_mask_BT,
                rows.types_BP, rows.pictures, rows.images_B)  # fmt: skip


def other_pictures(model: Any, rows: Rows) -> Rows:
    pictures = {**rows.pictures, "pixel_values": rows.pictures["pixel_values"].flip(0)}
    return Rows(rows.prompt_BP, rows.prompt_mask_BP, rows.completion_BT, rows.completion_mask_BT,
                rows.types_BP, pictures, rows.images_B)  # fmt: skip


@pytest.mark.parametrize("wrong", [shuffled, other_pictures])
def test_a_wrong_layout_falls_back_to_rows_with_one_line(
    wrong: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, rows, right = tiny_vlm(), BATCHES["one group"], packing.hidden_states
    monkeypatch.setattr(packing, "hidden_states", lambda model, rows: right(model, wrong(model, rows)))
    expected = hidden_states.by_row(model, rows)
    expose_hidden_states(model)
    for _ in range(2):
        assert torch.equal(through_forward(model, rows), expected)
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "every row is forwarded by itself" in said[0]


def test_generation_and_other_calls_are_as_before() -> None:
    model, rows = tiny_vlm().eval(), BATCHES["two groups"]
    before = model(**rows.model_inputs()).logits
    expose_hidden_states(model)
    assert torch.equal(model(**rows.model_inputs()).logits, before)
