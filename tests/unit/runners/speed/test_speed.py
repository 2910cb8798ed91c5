"""The speed benchmark's own arithmetic: what it counts, what it calls equal, and what it must refuse."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from runners.forward import split_group
from runners.speed.cells import FULL, QUICK, RATIOS, Cell, HeadCell, Sizes, chosen
from runners.speed.inputs import batch, problems, processor_for, random_model, twin
from runners.speed.measure import FORMULAS, Ratio, Time, count, peak, ratio, small_garbage, times
from runners.speed.report import Row, Target, markdown
from runners.speed.scoring import SPEED, Sides, controls, counters, measure, relative
from runners.speed.vocabulary import head_steps

SIZES = Sizes(32, 2, 4, 2, 64, 800, 16, 3, 2, 32)
CELL = Cell(24, 8, 16, ragged=True, group=4)


@pytest.fixture(autouse=True, scope="module")
def _fast_collections() -> Iterator[None]:
    with small_garbage():
        yield


def updates_apart(sides: Sides, score: Callable[[], Tensor]) -> dict[str, float]:
    return sides.apart(lambda: sides.update(sides.stock_logps), lambda: sides.update(score))


def test_counters_are_those_worked_out_by_hand() -> None:
    row = counters(CELL, SIZES, "cpu")
    assert CELL.lengths == [2, 4, 6, 8]
    assert {name: row.figures[name] for name in row.figures if not name.startswith("flops")} == {
        "tokens stock": 4 * (24 + 8),
        "tokens ours": 24 + 20,
        "pictures stock": 4,
        "pictures ours": 1,
        "head rows stock": 4 * (24 + 8 - 1),  # of every position that predicts another, on a CPU
        "head rows ours": 20,
    }
    assert not row.failed


def test_operations_are_those_of_the_products() -> None:
    model = random_model(SIZES, "cpu")
    layer = model.model.language_model.layers[0]
    h = torch.randn(1, 10, 32)
    rotary = model.model.language_model.rotary_emb(h, torch.arange(10).expand(3, 1, 10))
    model.config.text_config._attn_implementation = "sdpa"

    def call() -> None:
        layer(h, position_embeddings=rotary, attention_mask=None)

    weights = 32 * (32 + 16 + 16 + 32) + 3 * 32 * 64  # query, key, value, output; gate, up, down
    for gradients in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with gradients():
            assert count(model, call).flops == 2 * 10 * weights + 4 * 10 * 10 * 32, gradients


def test_operations_of_the_products_that_only_gpus_take() -> None:
    """Without their numbers: TRL's head multiplies into float32, and flash attention has fewer heads of keys."""
    low, float32 = (partial(torch.ones, device="meta", dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        torch.addmm(float32(4, 6), low(4, 8), low(8, 6), out_dtype=torch.float32, out=float32(4, 6))
    assert counter.get_total_flops() == 2 * 4 * 8 * 6
    query, key = low(2, 4, 5, 8), low(2, 2, 7, 8)
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        out = torch.ops.aten._scaled_dot_product_flash_attention(query, key, key)
        assert counter.get_total_flops() == 2 * 2 * 4 * 5 * 7 * (8 + 8)
        torch.ops.aten._scaled_dot_product_flash_attention_backward(
            query, query, key, key, out[0], out[1], None, None, 5, 7, 0.0, False, out[6], out[7]
        )
    assert counter.get_total_flops() == 2 * 2 * 4 * 5 * 7 * (8 + 8) + 2 * 2 * 4 * 5 * 7 * (3 * 8 + 2 * 8)


def test_a_gpu_is_timed_on_longer_rows_than_are_compared() -> None:
    """The row names what was timed, and its bound is that cell's; the difference is the smaller cell's."""
    cell = Cell(24, 8, 4, group=4)
    row = next(measure(cell, replace(QUICK, sizes=SIZES, exact=SIZES, rounds=1, timed=3), "cpu", "P:C"))
    assert row.cell == "P 72, C 24, equal, G 4, 12 visual" and not row.failed
    assert row.figures["token bound"] == 4 * (72 + 24) / (72 + 4 * 24)
    assert chosen("cuda", True).timed > 1 and chosen("cpu", True).timed == 1


def test_time_goes_by_rounds_and_in_turn() -> None:
    order: list[str] = []
    found = times({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2, "cpu")
    assert "".join(order) == "ab" + "ab" + "ba"
    assert {name: len(turns) for name, turns in found.items()} == {"a": 2, "b": 2}
    stock, ours = [Time(8, 9), Time(6, 7), Time(20, 1)], [Time(2, 3), Time(2, 1), Time(4, 1)]
    assert ratio(stock, ours, "cpu") == Ratio(4, 3, 5, 3, 8, 2)
    assert ratio(stock, ours, "cuda")[:3] == (3, 1, 7)


def test_peak_is_what_is_held_at_once() -> None:
    def call() -> None:
        for _ in range(3):
            a = torch.ones(1 << 20)
            b = a + 1
            del a, b

    assert peak(call, "cpu") == pytest.approx(8, abs=0.01)


def test_a_row_is_no_result_without_its_equality() -> None:
    limits = {"Δ": 1e-6}
    assert Row("t", "c", {}, limits).failed
    assert Row("t", "c", {"Δ": float("nan")}, limits).failed
    assert Row("t", "c", {"Δ": 2e-6}, limits).failed
    assert not Row("t", "c", {"Δ": 1e-6}, limits).failed
    assert Row("t", "c", {"Δ": 1e-6}, limits, must_fail=True).failed
    assert not Row("t", "c", {"Δ": 2e-6}, limits, must_fail=True).failed


def test_missed_targets_are_said_and_are_no_failure() -> None:
    aims = (Target("speed-up", 3.9, ">=", 4.0), Target("memory", 0.3, "<=", 0.3))
    row = Row("step", "cell", {"Δ": 0.0}, {"Δ": 1e-6}, Ratio(3.9, 3, 5, 4, 8, 2), {}, aims)
    page = markdown([row], {"machine": "test"}, "x.png")
    assert "Targets met: 1 of 2. Failed rows: 0." in page
    assert "- speed-up 3.90 ≥ 4.00: MISSED (step: cell)" in page
    assert "| **3.90** (3.00..5.00) | 4.00 | 8 / 2 | 0.0e+00 | equal |" in page


def test_gradients_that_lack_a_parameter_are_unequal() -> None:
    a = {"x": torch.tensor([3.0, 4.0]), "visual": torch.ones(1)}
    assert relative(a, a) == 0
    assert relative({**a, "x": torch.tensor([3.0, 4.5])}, a, "x") == pytest.approx(0.1)
    assert relative({"x": a["x"]}, a) == float("inf")
    assert relative(a, a, "nothing") == float("inf")


def test_stock_and_ours_share_weights_and_nothing_else() -> None:
    sides = Sides(CELL, SIZES, "cpu")
    assert all(a is b for a, b in zip(sides.stock.parameters(), sides.ours.parameters(), strict=True))
    assert sides.stock.model.language_model.config._attn_implementation == "sdpa"
    assert "rows" not in sides.stock.forward.__code__.co_varnames
    assert twin(sides.stock).lm_head.weight is sides.stock.lm_head.weight


def test_a_wrong_gradient_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    sides = Sides(replace(CELL, ragged=False), SIZES, "cpu")
    right = updates_apart(sides, sides.our_logps)
    assert right.keys() == {"Δ logp", "Δ gradient", "Δ tower gradient"}
    assert max(right.values()) < 2e-6
    features = type(sides.ours.model).get_image_features

    def frozen(self: Any, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return features(self, *args, **kwargs)

    monkeypatch.setattr(type(sides.ours.model), "get_image_features", frozen)
    only_ours = Sides(replace(CELL, ragged=False), SIZES, "cpu")
    monkeypatch.undo()
    only_ours.ours.model.get_image_features = frozen.__get__(only_ours.ours.model)
    wrong = updates_apart(only_ours, only_ours.our_logps)
    assert wrong["Δ logp"] < 2e-6
    assert wrong["Δ tower gradient"] == float("inf")


def test_controls_fail_as_they_must() -> None:
    shuffled, swapped, unshared, itself = controls(Cell(24, 8, 16, group=2, groups=2), SIZES, "cpu", 1)
    for row in (shuffled, swapped):
        assert row.must_fail and not row.failed and row.errors["Δ logp"] > 0.01
    for row in (unshared, itself):
        assert not row.failed and row.figures["token bound"] == 1
    assert itself.figures["FLOP bound"] == 1


def test_dead_groups_have_no_weight_and_are_left_out() -> None:
    cell = replace(CELL, groups=2, dead=0.5)
    found = batch(cell, 50, "cpu")
    assert found.live == [4, 5, 6, 7]
    assert not found.weight_BT[:4].any() and (found.weight_BT[4:] != 0).sum() == 20
    sides = Sides(cell, SIZES, "cpu")
    assert not sides.our_live_logps(sides.batch.rows)[:4].any()
    assert max(updates_apart(sides, sides.our_live_logps).values()) < 2e-6


def by_row(sides: Sides) -> Tensor:
    return sides.update(sides.stock_logps, by_row=True)


def test_rows_one_by_one_share_their_prompt() -> None:
    sides = Sides(CELL, SIZES, "cpu")
    apart = sides.apart(partial(by_row, sides), sides.our_update_by_row)
    assert max(apart.values()) < 2e-6 and apart.keys() == {"Δ logp", "Δ gradient", "Δ tower gradient"}
    stock, ours = count(sides.stock, partial(by_row, sides)), count(sides.ours, sides.our_update_by_row)
    assert (stock.tokens, stock.pictures) == (4 * (24 + 8), 4), "padded, as TRL does"
    assert (ours.tokens, ours.pictures) == (24 + 20, 1)


def test_a_gradient_that_a_part_loses_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_group, "_gathered", lambda leaf, grad: grad)  # the last row's alone
    sides = Sides(CELL, SIZES, "cpu")
    apart = sides.apart(partial(by_row, sides), sides.our_update_by_row)
    assert apart["Δ logp"] < 2e-6
    assert apart["Δ gradient"] > 0.01 and apart["Δ tower gradient"] > 0.01


@pytest.mark.parametrize("kind", ["KL(T || S)", "JSD", "KL(S || T)"])
def test_the_three_heads_compute_one_loss(kind: str) -> None:
    steps, exact = head_steps(HeadCell(40, 16, 300, kind), "cpu")
    loss, gradients = exact()
    assert loss > 1e-3
    for step in steps.values():
        value, found = step()
        assert float(value) == pytest.approx(float(loss), abs=1e-6)
        assert relative(found, gradients) < 5e-6


def test_prompts_have_the_length_that_is_asked_for() -> None:
    cell = Cell(60, 4, 24, groups=2)
    processor = processor_for(cell)
    for row in problems(cell, processor):
        content = [{"type": "image", "image": row["images"][0]}, {"type": "text", "text": row["prompt"][0]["content"]}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=True, return_dict=True, return_tensors="pt",
            add_generation_prompt=True,
        )  # fmt: skip
        assert inputs["input_ids"].shape == (1, 60)
        assert inputs["image_grid_thw"].prod() == 4 * 24


def test_every_target_of_a_ratio_has_its_cell() -> None:
    assert {cell.prompt / cell.completion for cell in RATIOS} == set(SPEED)
    assert {cell.ragged for cell in FULL.ratios} == {False, True}
    assert {cell.group for cell in FULL.sweep} >= {1, 2, 4, 8, 16}
    assert {cell.visual for cell in FULL.sweep} >= {0, 64, 256}
    assert {cell.dead for cell in FULL.sweep} == {0.0, 0.5}
    assert FULL.parts == RATIOS and all(not cell.ragged and cell.groups == 1 for cell in FULL.parts)
    assert FULL.targets and not QUICK.targets and FULL.rounds >= 5
