"""How a batch goes through the model: packed by groups where that gives the same log-probabilities, else row by row."""

import inspect
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ReduceOp, all_reduce, get_world_size, is_initialized

from runners.forward import packing
from runners.forward.batch import Rows
from runners.forward.chunked_head import log_probs
from runners.forward.lm_head import Head
from runners.forward.split_group import SplitGroup, can_split

# Mean difference of two layouts' log-probabilities: rounding is far below, one wrong token or picture far above.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
TOLERANCE_16_BIT = 0.05

Layout = Callable[[Any, Rows], Tensor]


class Layouts:
    """Chooses the layout. The first batch of each kind is scored both ways, and a kind that differs is forwarded row
    by row from then on."""

    def __init__(self, model: Any, shared_prefix: bool) -> None:
        self._shared = shared_prefix and packing.can_pack(model)
        self._agrees: dict[tuple[Any, ...], bool] = {}
        if self._shared:
            packing.prepare(model)

    def hidden_states(self, model: Any, rows: Rows, group: SplitGroup | None = None) -> Tensor:
        """(N, D): what predicts the N completion tokens, row after row. group: which `rows` are a part of."""
        layout, alone = packing.hidden_states, packing.hidden_states
        if group is not None and self._shared and (group.begun or can_split(model)):
            layout, alone = group.hidden_states, SplitGroup(1).hidden_states
        if self._shared and self._checked(model, rows, alone, layout != alone):
            return layout(model, rows)
        return by_row(model, rows)

    def _checked(self, model: Any, rows: Rows, layout: Layout, split: bool) -> bool:
        several = is_initialized() and get_world_size() > 1
        # With several processes all of them check, or none: what one of them happens to hold must not decide.
        kind = (model.dtype, model.device.type, model.training, split, several or bool(rows.pictures))
        if kind not in self._agrees:
            worst = self._difference(model, rows, layout)
            if several:
                all_reduce(worst, ReduceOp.MAX)
            self._agrees[kind] = bool(worst <= TOLERANCE.get(model.dtype, TOLERANCE_16_BIT))
            if not self._agrees[kind]:
                print(
                    f"shared prefix: log-probabilities differ by {worst.item():.2g} on average from the plain layout's "
                    f"({model.dtype}, {model.device.type}); every row is forwarded by itself from here on",
                    file=sys.stderr,
                    flush=True,
                )
        return self._agrees[kind]

    @torch.no_grad()
    def _difference(self, model: Any, rows: Rows, layout: Layout) -> Tensor:
        """Mean absolute difference over the completion tokens; a tensor, so that processes can compare."""
        ids_N, weight = rows.completion_BT[rows.completion_mask_BT.bool()], model.get_output_embeddings().weight
        head = Head(weight.full_tensor() if hasattr(weight, "full_tensor") else weight, None)
        one, other = (log_probs(way(model, rows), head, ids_N, 1.0) for way in (layout, by_row))
        return (one - other).abs().sum() / max(len(ids_N), 1)


def reads_text(model: Any) -> bool:
    """Whether the model reads text alone, and is told each token's position."""
    decoder: Any = type(model.base_model)
    seeing = hasattr(model.config, "vision_config")
    return not seeing and "position_ids" in inspect.signature(decoder.forward).parameters


def by_row(model: Any, rows: Rows) -> Tensor:
    """(N, D) with every row forwarded by itself, prompt and pictures included: the reference."""
    inputs = rows.model_inputs()
    if reads_text(model):  # else padding on the left would count, where positions are learned ones
        inputs["position_ids"] = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
    out = model.base_model(**inputs, use_cache=False)
    length = rows.completion_BT.shape[1]
    hidden_ND: Tensor = out.last_hidden_state[:, -length - 1 : -1][rows.completion_mask_BT.bool()]
    return hidden_ND
