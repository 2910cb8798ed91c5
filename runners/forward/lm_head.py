"""The output head of a model, by value."""

from typing import Any, NamedTuple

from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.functional import linear

CHUNK = 1 << 24  # logits that exist at once: 64 MiB in float32, times the handful that a divergence holds


class Head(NamedTuple):
    """An output embedding by value: logits are recomputed in the backward pass, when a sharded module may hold
    nothing and a teacher's other weights than those it was scored with."""

    weight_VD: Tensor
    bias_V: Tensor | None

    @classmethod
    def of(cls, model: Any) -> "Head":
        module = model.get_output_embeddings()
        if isinstance(module, FSDPModule):  # it is never called, and so never gathered unless it is tied
            module.unshard()
        return cls(module.weight, module.bias)

    def frozen(self, copy: bool) -> "Head":
        """Without gradient; a copy where the weights are about to change in place."""
        weight_VD, bias_V = self.weight_VD.detach(), None if self.bias_V is None else self.bias_V.detach()
        return Head(weight_VD.clone(), None if bias_V is None else bias_V.clone()) if copy else Head(weight_VD, bias_V)

    def __call__(self, hidden_ND: Tensor, temperature: float) -> Tensor:
        logits_NV = linear(hidden_ND, self.weight_VD, self.bias_V)
        return logits_NV / temperature if temperature != 1 else logits_NV

    @property
    def chunk(self) -> int:
        """Tokens whose logits may exist at once."""
        return max(1, CHUNK // self.weight_VD.shape[0])
