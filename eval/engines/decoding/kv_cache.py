"""A cache layer that is written in place."""

from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicLayer

ROOM = 64  # tokens by which a full cache grows


class GrowingLayer(DynamicLayer):
    """DynamicLayer copies all it holds at every token; this one has room for the next ones."""

    keys: Tensor
    values: Tensor
    room: Tensor | None = None  # (2, B, heads, tokens, head size): keys and values

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            first: tuple[Tensor, Tensor] = super().update(key_states, value_states)
            return first
        held, new = self.keys.shape[-2], key_states.shape[-2]
        if self.room is None or held + new > self.room.shape[-2]:
            batch, heads, _, size = key_states.shape
            self.room = key_states.new_empty(2, batch, heads, held + max(new, ROOM), size)
            self.room[0, :, :, :held], self.room[1, :, :, :held] = self.keys, self.values
        self.keys, self.values = self.room.narrow(3, 0, held + new).unbind()
        self.keys.narrow(2, held, new).copy_(key_states)
        self.values.narrow(2, held, new).copy_(value_states)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        super().batch_select_indices(indices)
        self.room = None

    def hand_over(self) -> tuple[Tensor, Tensor]:
        """The keys and values that are held, (B, heads, tokens, head size); the layer is then as new, for any B."""
        held = self.keys, self.values
        self.room, self.is_initialized = None, False
        return held
