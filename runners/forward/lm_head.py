"""The output head of a model, by value, and what the model does to its logits."""

from typing import Any, NamedTuple

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.functional import linear

from eval.core.errors import UserError

CHUNK = 1 << 24  # logits that exist at once: 64 MiB in float32, times the handful that a divergence holds
TRIED = 8  # tokens on which a head is compared with its model's own logits
# Relative to the largest logit. Rounding is far below; a factor or a cap that is left out may be little above it.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}
TOLERANCE_16_BIT = 0.02


class HeadForm(NamedTuple):
    """What becomes of hidden @ weight + bias: times `scale`, then cap * tanh(logit / cap) where there is a cap."""

    scale: float = 1.0
    cap: float | None = None


PLAIN = HeadForm()


class Head(NamedTuple):
    """An output embedding by value: logits are recomputed in the backward pass, when a sharded module may hold
    nothing and a teacher's other weights than those it was scored with."""

    weight_VD: Tensor
    bias_V: Tensor | None
    form: HeadForm = PLAIN

    @classmethod
    def of(cls, model: Any, form: HeadForm = PLAIN) -> "Head":
        module = model.get_output_embeddings()
        if isinstance(module, FSDPModule):  # it is never called, and so never gathered unless it is tied
            module.unshard()
        return cls(module.weight, module.bias, form)

    def frozen(self, copy: bool) -> "Head":
        """Without gradient; a copy where the weights are about to change in place."""
        weight_VD, bias_V = self.weight_VD.detach(), None if self.bias_V is None else self.bias_V.detach()
        if copy:
            weight_VD, bias_V = weight_VD.clone(), None if bias_V is None else bias_V.clone()
        return Head(weight_VD, bias_V, self.form)

    def to(self, dtype: torch.dtype) -> "Head":
        return Head(self.weight_VD.to(dtype), None if self.bias_V is None else self.bias_V.to(dtype), self.form)

    def __call__(self, hidden_ND: Tensor, temperature: float) -> Tensor:
        """Logits / temperature, (N, V)."""
        logits_NV = linear(hidden_ND, self.weight_VD, self.bias_V)
        scale, cap = self.form
        if scale != 1:
            logits_NV = logits_NV * scale
        if cap is not None:
            logits_NV = (logits_NV / cap).tanh() * cap
        return logits_NV / temperature if temperature != 1 else logits_NV

    def slope(self, logits_NV: Tensor, temperature: float) -> Tensor | float:
        """The derivative of the logits by hidden @ weight + bias, given logits / temperature."""
        scale, cap = self.form
        return scale if cap is None else scale * (1 - (logits_NV * (temperature / cap)).square())

    @property
    def chunk(self) -> int:
        """Tokens whose logits may exist at once."""
        return max(1, CHUNK // self.weight_VD.shape[0])


@torch.no_grad()
def form_of(model: Any) -> HeadForm:
    """What the model does to its logits, found by its configuration and compared with what it says of a few tokens.

    Raises UserError, by the family's name, where no form gives the model's own logits, and where adapters stand in
    the head's place: training reads its weights alone.
    """
    kind, head = model.config.model_type, model.get_output_embeddings()
    if head is None or not hasattr(head, "weight"):
        raise UserError(f"a {kind} has no output head of weights, from which log-probabilities are computed")
    if isinstance(head, BaseTunerLayer):
        raise UserError("model.lora.targets names the output head, whose weights are read by value: leave it out")
    was, size = model.training, min(head.weight.shape[0], model.get_input_embeddings().weight.shape[0])
    banned = {i for name, i in model.config.to_dict().items() if name.endswith(("_token_id", "_token_index"))}
    ids_1L = torch.tensor([[i for i in range(size) if i not in banned][:TRIED]], device=head.weight.device)
    model.eval()
    try:
        hidden_1LD = model.base_model(input_ids=ids_1L, use_cache=False).last_hidden_state
        own_LV = model(input_ids=ids_1L, use_cache=False).logits[0].float()
    finally:
        model.train(was)
    worst = []
    for form in _forms(model.config.get_text_config()):
        logits_LV = Head.of(model, form)(hidden_1LD[0].to(head.weight.dtype), 1.0).float()
        worst.append(float((logits_LV - own_LV).abs().max() / own_LV.abs().max().clamp(min=1e-30)))
        if not worst[-1] > TOLERANCE.get(head.weight.dtype, TOLERANCE_16_BIT):
            return form
    raise UserError(
        f"a {kind} cannot be trained here: its logits are not those of its last hidden states and its head "
        f"(apart by {min(worst):.2g} of the largest)"
    )


def _forms(config: Any) -> list[HeadForm]:
    """The plain form last: a cap far above the logits is within rounding of none, and still bends gradients."""
    scale = float(getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1))
    cap = getattr(config, "final_logit_softcapping", None)
    return list(dict.fromkeys([HeadForm(scale, cap), PLAIN]))
