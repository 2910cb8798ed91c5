"""A group whose rows come in several micro-batches, with its prompt and pictures computed once all the same.

The first micro-batch forwards the prompt as well. Completions attend to the prompt's keys and values cut off from their
graph, and each micro-batch's backward pass leaves its gradient there. The last one's then goes through the prompt,
once, with all that has gathered. What is held are the prompt's activations, one micro-batch's, and the gradients that
gather.
"""

from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed import get_world_size, is_initialized
from torch.distributed.fsdp import FSDPModule

from runners.forward.batch import Groups, Rows, groups_of
from runners.forward.fsdp import is_sharded
from runners.forward.group_attention import Segment
from runners.forward.packing import Packed, decoder_of, forward_packed, pack
from runners.forward.prefix_attention import KeptKeys

MEND = "where one prompt has several texts or pictures, set train.shared_prefix=false"


class Prompt(NamedTuple):
    """A forwarded prompt: its last hidden state (1, D), then keys and values of each of `layers`; the same tensors as
    leaves, cut off; and its rotary positions (A, P)."""

    tensors: tuple[Tensor, ...]
    leaves: tuple[Tensor, ...]
    layers: tuple[int, ...]
    position_AP: Tensor


class SplitGroup:
    """One group that comes in `parts` micro-batches, each with a backward pass before the next one's forward pass."""

    def __init__(self, parts: int) -> None:
        self._left = parts
        self._shown: tuple[Tensor, ...] = ()
        self._prompt: Prompt | None = None

    @property
    def begun(self) -> bool:
        """Whether the prompt has been forwarded and parts are still to come."""
        return self._prompt is not None

    def hidden_states(self, model: Any, rows: Rows) -> Tensor:
        """(N, D): what predicts the N completion tokens of the next part, row after row.

        Raises ValueError where its rows are not all of the group that the first part began.
        """
        shown = _shown(rows)
        if self._prompt is None and self._left:
            self._shown, self._prompt = shown, _forward(model, rows)
        alike = len(shown) == len(self._shown) and all(map(torch.equal, shown, self._shown))
        if self._prompt is None or not alike:
            raise ValueError(f"the rows belong to another group than those before them: {MEND}")
        prompt, self._left = self._prompt, self._left - 1
        tensors = prompt.leaves
        if not self._left:  # nothing is kept, whatever becomes of the pass
            self._prompt, self._shown = None, ()
            tensors = _joined(prompt, in_one_pass=_one_gradient_each(model))
        return _completions(model, rows, prompt, tensors)


def parts_of_group(micro_batch: int, group: int, accumulation: int) -> int:
    """In how many micro-batches each group comes: 1 where they do not divide it evenly, or where the rows that one
    process takes to an update, `accumulation` micro-batches, are not whole groups."""
    whole = group % micro_batch == 0 and micro_batch * accumulation % group == 0
    return group // micro_batch if whole and micro_batch < group else 1


def can_split(model: Any) -> bool:
    """Whether a later backward pass can go through what an earlier forward pass has left.

    Under FSDP2 it can: the weights that a pass has saved are storage that is freed and filled again, and the gradient
    of a layer's output fills it, in whichever pass. Not without gradient. Not under reentrant gradient checkpointing,
    which hands keys and values over without their graph: gradients would be wrong, without an error. And not where
    FSDP2 holds the last norm apart: beside a head that is read by value and never called it takes that norm's forward
    for unfinished, and does not fill its storage again for the prompt, whose backward pass would read freed memory.
    """
    if not torch.is_grad_enabled() or isinstance(decoder_of(model).norm, FSDPModule):
        return False
    return not any(_reentrant(m) for m in model.modules())


def _reentrant(module: nn.Module) -> bool:
    again: Any = getattr(module, "_gradient_checkpointing_func", None)
    on = getattr(module, "gradient_checkpointing", False) and again is not None
    return on and bool(again.keywords.get("use_reentrant", True))


def _shown(rows: Rows) -> tuple[Tensor, ...]:
    """The tokens and pictures that all rows are shown; raises ValueError where they are not the same."""
    found = groups_of(rows)
    if len(found.groups) != 1:
        raise ValueError(f"the rows belong to {len(found.groups)} groups, and not to one: {MEND}")
    prompt_P = rows.prompt_BP[0][rows.prompt_mask_BP[0].bool()]
    return prompt_P, *(part for i in found.groups[0].images for part in found.images[i])


def _forward(model: Any, rows: Rows) -> Prompt:
    nothing = rows.completion_BT[:, :0]
    alone, kept = pack(model, replace(rows, completion_BT=nothing, completion_mask_BT=nothing).select([0])), KeptKeys()
    hidden_PD = forward_packed(model, alone, keep_keys=kept)
    keys = kept.take()
    tensors = (hidden_PD[-1:], *(x for pair in keys.values() for x in pair))
    leaves = tuple(x.detach().requires_grad_(x.requires_grad) for x in tensors)
    return Prompt(tensors, leaves, tuple(keys), alone.position_AL)


def _completions(model: Any, rows: Rows, prompt: Prompt, tensors: tuple[Tensor, ...]) -> Tensor:
    """(N, D), the completions in one row; `tensors` are the prompt's."""
    last_1D, *flat = tensors
    mask_BT = rows.completion_mask_BT.bool()
    lengths, device = mask_BT.sum(1).tolist(), mask_BT.device
    ids_N = rows.completion_BT[mask_BT]
    N = len(ids_N)
    if not N:  # one token all the same, which predicts nothing: FSDP2's other processes wait for this one at each layer
        lengths, ids_N = [1], ids_N.new_zeros(1)
    keys = dict(zip(prompt.layers, zip(flat[::2], flat[1::2], strict=True), strict=True))
    step_N = torch.cat([torch.arange(n, device=device) for n in lengths])
    packed = Packed(
        ids_N,
        torch.zeros_like(ids_N),
        (prompt.position_AP.max() + 1 + step_N).expand(len(prompt.position_AP), -1),
        (Segment.of(0, 0, lengths, device),),
        torch.where(step_N > 0, torch.arange(len(ids_N), device=device), 0),  # with the prompt's last in front
        Groups([], []),
    )
    # Not a dictionary: FSDP2 looks into one, and each layer would give every other layer's keys a gradient of zeros.
    hidden_ND = forward_packed(model, packed, prompt_keys=MappingProxyType(keys))
    return torch.cat([last_1D, hidden_ND]).index_select(0, packed.predicts_N[:N])


def _joined(prompt: Prompt, in_one_pass: bool) -> tuple[Tensor, ...]:
    """The prompt's tensors for the last part. Where its backward pass goes on through the prompt, the engine holds the
    gradients of all weights until it has the prompt's to add; where there is another pass inside, it holds none."""
    tensors, behind = (prompt.tensors, ()) if in_one_pass else (prompt.leaves, prompt.tensors)
    joined: tuple[Tensor, ...] = _Joined.apply(prompt.leaves, behind, *tensors)
    return joined


def _one_gradient_each(model: nn.Module) -> bool:
    """Whether a backward pass may bring each weight but one gradient: DDP sends it away at once."""
    several = is_initialized() and get_world_size() > 1
    return several and not is_sharded(model)


class _Joined(torch.autograd.Function):
    """The tensors as they are; on the way back the gradients that have gathered in the leaves go to them, or to those
    `behind` them, in a backward pass of their own.

    One function of all of them: it runs whichever of them the last part has used, and when that part's own activations
    are gone.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, leaves: tuple[Tensor, ...], behind: tuple[Tensor, ...], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.leaves, ctx.behind = leaves, behind
        ctx.set_materialize_grads(False)
        return tuple(x.view_as(x) for x in tensors)

    @staticmethod
    @once_differentiable  # type: ignore[misc]
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        gathered = [_gathered(leaf, grad) for leaf, grad in zip(ctx.leaves, grads, strict=True)]
        if not ctx.behind:
            return None, None, *gathered
        known = [(x, grad) for x, grad in zip(ctx.behind, gathered, strict=True) if grad is not None]
        torch.autograd.backward([x for x, _ in known], [grad for _, grad in known])
        return None, None, *(None for _ in gathered)


def _gathered(leaf: Tensor, grad: Tensor | None) -> Tensor | None:
    """All parts' gradient, which the leaf gives away."""
    before, leaf.grad = leaf.grad, None
    if before is None or grad is None:
        return before if grad is None else grad
    return before.add_(grad)
