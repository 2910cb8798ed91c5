"""One group in the packed row: its completions' tokens one after another, or padded to one row for each completion."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segment:
    """Where the group starts, the prompt's length P, and the completions' lengths: N tokens, of (G, C) places.

    Which token is at each place (the first one where there is none), which places these are, and the place of each
    token; all None where the completions have the same length.
    """

    start: int
    prompt: int
    lengths: tuple[int, ...]
    token_GC: Tensor | None
    empty_GC: Tensor | None
    place_N: Tensor | None

    @classmethod
    def of(cls, start: int, prompt: int, lengths: list[int], device: torch.device) -> "Segment":
        if len(set(lengths)) <= 1:
            return cls(start, prompt, tuple(lengths), None, None, None)
        steps_C, lengths_G = torch.arange(max(lengths)), torch.tensor(lengths)
        first_G = lengths_G.cumsum(0) - lengths_G
        real_GC = steps_C[None] < lengths_G[:, None]
        token_GC = torch.where(real_GC, first_G[:, None] + steps_C[None], 0).flatten()
        place_N = real_GC.flatten().nonzero()[:, 0]
        return cls(start, prompt, tuple(lengths), *(x.to(device) for x in (token_GC, ~real_GC, place_N)))

    @property
    def end(self) -> int:
        return self.start + self.prompt + sum(self.lengths)

    def padded(self, x: Tensor) -> Tensor:
        """(1, h, N, ...) -> (G, h, C, ...), with the group's first token at the empty places."""
        x = x[0] if self.token_GC is None else x[0].index_select(1, self.token_GC)
        return x.unflatten(1, (len(self.lengths), -1)).transpose(0, 1)

    def packed(self, x: Tensor) -> Tensor:
        """(G, h, C, ...) -> (1, h, N, ...)"""
        flat = x.transpose(0, 1).flatten(1, 2)
        return (flat if self.place_N is None else flat.index_select(1, self.place_N))[None]
