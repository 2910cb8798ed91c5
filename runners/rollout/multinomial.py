"""Sampling the tokens that `torch.multinomial` would, with the same numbers of the random stream."""

from functools import cache

import torch
from torch import Tensor


class Draw:
    """Draws a token for each live row of a batch of B.

    multinomial takes the argmax of p / e with e ~ Exp(1), for all rows at once. Here too e is drawn for the rows that
    have left as well, which keeps the random stream that of the whole batch.
    """

    def __init__(self, B: int) -> None:
        self._B = B
        self._noise_BV = torch.empty(0)  # the same memory for every token

    def __call__(self, scores_LV: Tensor, live_L: Tensor) -> Tensor:
        """(L,) from unnormalised log-probabilities of the rows `live_L` of the batch."""
        from_uniform = scores_LV.device.type == "cpu" and exponential_is_of_uniform()
        if not len(self._noise_BV):
            dtype = torch.float64 if from_uniform else scores_LV.dtype
            self._noise_BV = scores_LV.new_empty(self._B, scores_LV.shape[1], dtype=dtype)
        noise_BV = self._noise_BV.uniform_() if from_uniform else self._noise_BV.exponential_()
        noise_LV = noise_BV if len(live_L) == self._B else noise_BV[live_L]
        if from_uniform:
            noise_LV = noise_LV.neg_().log1p_().to(scores_LV.dtype).neg_()
        return scores_LV.softmax(-1).div_(noise_LV).argmax(-1)


@cache
def exponential_is_of_uniform() -> bool:
    """Whether this build's `exponential_` is -log(1 - u) of the double-precision u that `uniform_` draws, one number at
    a time: on all numbers at once that is twice as fast."""
    one, other = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    exponential = torch.empty(1000).exponential_(generator=one)
    uniform = torch.empty(1000, dtype=torch.float64).uniform_(generator=other)
    same = torch.equal(exponential, uniform.neg_().log1p_().neg_().to(torch.float32))
    return same and torch.equal(one.get_state(), other.get_state())
