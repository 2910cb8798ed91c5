"""The parts of the decoding loop, each against a plain way to the same numbers."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from eval.engines.decoding.decode_step import AHEAD, ByGroup, ByRow
from eval.engines.decoding.kv_cache import ROOM, GrowingLayer
from runners.forward import packing
from runners.rollout import multinomial as draw
from runners.rollout import sampler as rollout
from runners.rollout.multinomial import Draw
from runners.speed.cells import Sizes
from runners.speed.inputs import random_model

SHAPE = Sizes(hidden=32, layers=2, heads=4, kv_heads=2, inner=48, vocabulary=64, vision_hidden=16, vision_layers=3)
GROUPS = {"one": [0, 0, 0], "equal": [0, 0, 1, 1], "apart": [0, 1, 2, 0, 1, 0], "single": [0, 1, 2]}


@pytest.fixture(scope="module")
def model() -> Any:
    """With two heads to a key head. In double precision, but for norms and rotary factors, which are float32."""
    return random_model(SHAPE, "cpu").double().eval()


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("way", [ByRow, ByGroup])
def test_logits_are_those_of_each_row_forwarded_alone(model: Any, way: type, groups: str, padded: bool) -> None:
    group_B, T = torch.tensor(GROUPS[groups]), AHEAD + 3
    random = torch.Generator().manual_seed(0)
    P, B = 9, len(group_B)
    first_G = [2 * g if padded else 0 for g in range(3)]  # of the real tokens
    prompt_BP = torch.randint(7, 64, (3, P), generator=random)[group_B]
    mask_BP = torch.stack([(torch.arange(P) >= first_G[g]).long() for g in group_B.tolist()])
    completion_BT = torch.randint(7, 64, (B, T), generator=random)
    ids_BN = torch.cat([prompt_BP * mask_BP, completion_BT], 1)
    model.model.language_model.config._attn_implementation = "sdpa"
    expected: list[Tensor] = []
    with torch.no_grad():
        for row, g in enumerate(group_B.tolist()):
            expected.append(model(input_ids=ids_BN[row : row + 1, first_G[g] :], use_cache=False).logits[0, -T - 1 :])
    if way is ByGroup:
        packing.prepare(model)
    kwargs = {
        "past_key_values": DynamicCache(config=model.config.text_config),
        "attention_mask": mask_BP,
        "position_ids": (mask_BP.cumsum(1) - 1).clamp(min=0).expand(4, -1, -1),
    }
    with torch.inference_mode():
        following = rollout._prefill(model, ids_BN[:, :P], kwargs)
        assert type(following) is way
        live = list(range(B))
        for step in range(T):
            logits_LV = following.logits(ids_BN[live, P - 1 + step][:, None])
            for row, logits_V in zip(live, logits_LV, strict=True):
                torch.testing.assert_close(logits_V, expected[row][step], rtol=0, atol=1e-6)
            if step in (5, AHEAD - 1):  # the first row leaves, and with it the second time a whole group
                keep = torch.arange(1, len(live)) if len(live) > 1 else torch.arange(1)
                following.select(keep)
                live = [live[i] for i in keep.tolist()]


@pytest.mark.parametrize("live", [[0, 1, 2, 3, 4, 5], [4, 1], [3]])
@pytest.mark.parametrize("of_uniform", [True, False])
def test_draws_are_those_of_multinomial_in_the_whole_batch(monkeypatch: Any, of_uniform: bool, live: list[int]) -> None:
    monkeypatch.setattr(draw, "exponential_is_of_uniform", lambda: of_uniform)
    scores_BV = torch.randn(6, 500, generator=torch.Generator().manual_seed(0)).mul(3)
    scores_BV[:, 10:20] = -torch.inf
    with torch.random.fork_rng():
        torch.manual_seed(1)
        whole = [torch.multinomial(scores_BV.softmax(-1), 1)[:, 0] for _ in range(20)]
        after = torch.rand(1)
        torch.manual_seed(1)
        next_tokens = Draw(6)
        ours = [next_tokens(scores_BV[live], torch.tensor(live)) for _ in range(20)]
        assert torch.equal(torch.rand(1), after)
    assert torch.equal(torch.stack(ours), torch.stack(whole)[:, live])
    assert len(torch.stack(ours).unique()) > 3


def test_growing_layer_holds_what_a_dynamic_one_does() -> None:
    ours, theirs, generator = GrowingLayer(), DynamicLayer(), torch.Generator().manual_seed(0)
    rows = 4
    for step in range(2 * ROOM + 5):
        new = torch.randn(2, rows, 2, 5 if step == 0 else 1, 3, generator=generator)
        held = ours.update(*new), theirs.update(*new)
        assert all(torch.equal(a, b) for a, b in zip(*held, strict=True))
        if step in (0, 30, ROOM + 3):
            keep = torch.tensor([0, 2, 2, 1] if step == 0 else list(range(1, rows)))
            rows = len(keep)
            ours.batch_select_indices(keep)
            theirs.batch_select_indices(keep)
        assert ours.get_seq_length() == theirs.get_seq_length() == step + 5


def test_a_layer_that_handed_over_what_it_held_is_as_new() -> None:
    layer, generator = GrowingLayer(), torch.Generator().manual_seed(0)
    first, last = (torch.randn(2, 3, 2, tokens, 4, generator=generator) for tokens in (5, 1))
    layer.update(*first)
    layer.update(*last)
    held = layer.hand_over()
    assert torch.equal(torch.stack(held), torch.cat([first, last], 3))
    assert layer.get_seq_length() == 0
    then = torch.randn(2, 7, 2, 2, 4, generator=generator)
    layer.update(*then[..., :1, :])
    assert torch.equal(torch.stack(layer.update(*then[..., 1:, :])), then)
    assert torch.equal(torch.stack(held), torch.cat([first, last], 3))  # not written to again
