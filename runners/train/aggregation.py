"""How a loss over tokens becomes one number."""

from torch import Tensor

# Ours -> TRL's `loss_type`: over all tokens, within each sequence first, by a constant.
LOSSES = dict(pair.split("=") for pair in ("token=dapo", "sequence=grpo", "constant=dr_grpo"))


def token_weights(mask_BT: Tensor, loss_type: str, tokens: Tensor, length: int) -> Tensor:
    """(B, T): each token's share in the loss of a micro-batch, as TRL averages the policy's.

    `tokens`: of all micro-batches, their mean number; `length`: the constant's tokens a sequence.
    """
    if loss_type == LOSSES["sequence"]:
        return mask_BT / (mask_BT.sum(-1, keepdim=True).clamp(min=1) * len(mask_BT))
    return mask_BT / (len(mask_BT) * length if loss_type == LOSSES["constant"] else tokens)
