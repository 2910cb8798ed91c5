"""The one place that turns rows of tokens into log-probabilities and divergences.

Plain rows for now: every row is forwarded with its own prompt and pictures. Only the completion's hidden states
leave the model; logits exist for one chunk of tokens at a time, so memory does not grow with rows x length x
vocabulary.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

CHUNK = 1024  # tokens whose logits exist at once
Divergence = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Rows:
    """B prompts (left-padded) with their T completion tokens (right-padded), and the pictures."""

    prompt_BP: Tensor
    prompt_mask_BP: Tensor
    completion_BT: Tensor
    completion_mask_BT: Tensor
    types_BP: Tensor | None = None  # 1 on picture tokens; Qwen-VL's rotary positions need it
    pictures: dict[str, Tensor] = field(default_factory=dict)  # pixel_values, image_grid_thw
    images_B: list[int] = field(default_factory=list)  # pictures of each row

    def model_inputs(self) -> dict[str, Any]:
        inputs = {
            "input_ids": torch.cat([self.prompt_BP, self.completion_BT], 1),
            "attention_mask": torch.cat([self.prompt_mask_BP, self.completion_mask_BT], 1),
            **self.pictures,
        }
        if self.types_BP is not None:
            inputs["mm_token_type_ids"] = torch.cat([self.types_BP, torch.zeros_like(self.completion_BT)], 1)
        return inputs


def expose_hidden_states(model: nn.Module) -> None:
    """Let `model(..., completion_tokens=T)` return the hidden states (B, T, D) that predict the last T tokens.

    A keyword of forward, and not a call of the backbone, so that DDP and FSDP wrappers see the pass.
    """
    forward = model.forward

    @functools.wraps(type(model).forward)
    def with_hidden(self: Any, *args: Any, completion_tokens: int | None = None, **kwargs: Any) -> Any:
        if completion_tokens is None:
            return forward(*args, **kwargs)
        out = self.base_model(*args, use_cache=False, **kwargs)
        return out.last_hidden_state[:, -completion_tokens - 1 : -1]

    model.forward = MethodType(with_hidden, model)  # type: ignore[method-assign]


class Head(NamedTuple):
    """An output embedding by value, and the temperature that its logits are divided by.

    The tensor and not the module: logits are recomputed in the backward pass, when the module may already hold
    other weights than those it was scored with.
    """

    weight_VD: Tensor
    bias_V: Tensor | None
    temperature: float

    @classmethod
    def of(cls, model: Any, temperature: float) -> "Head":
        module = model.get_output_embeddings()
        return cls(module.weight, module.bias, temperature)

    def frozen(self) -> "Head":
        bias_V = None if self.bias_V is None else self.bias_V.detach()
        return Head(self.weight_VD.detach(), bias_V, self.temperature)

    def __call__(self, hidden_ND: Tensor) -> Tensor:
        logits_NV = linear(hidden_ND, self.weight_VD, self.bias_V)
        return logits_NV / self.temperature if self.temperature != 1 else logits_NV


def hidden_states(model: nn.Module, rows: Rows) -> Tensor:
    """(B, T, D): the states from which each completion token is predicted."""
    hidden_BTD: Tensor = model(**rows.model_inputs(), completion_tokens=rows.completion_BT.shape[1])
    return hidden_BTD


@torch.no_grad()
def token_log_probs(model: nn.Module, head: Head, rows: Rows, batch: int) -> Tensor:
    """Log-probabilities (B, T) in float32 of the completion tokens, `batch` rows per forward; 0 on padding."""
    parts = []
    for part in split_rows(rows, batch):
        hidden_BTD = hidden_states(model, part)
        mask_BT = part.completion_mask_BT.bool()
        out_BT = torch.zeros(mask_BT.shape, device=hidden_BTD.device)
        out_BT[mask_BT] = torch.cat(
            [
                head(h).float().log_softmax(-1).gather(-1, ids[:, None])[:, 0]
                for h, ids in zip(
                    hidden_BTD[mask_BT].split(CHUNK), part.completion_BT[mask_BT].split(CHUNK), strict=True
                )
            ]
        )
        parts.append(out_BT)
    return torch.cat(parts)


class Distilled(NamedTuple):
    """Per token, (B, T), 0 on padding: the divergence (with gradient), the student's entropy, and
    log P_teacher - log P_student of the sampled token."""

    divergence_BT: Tensor
    entropy_BT: Tensor
    gap_BT: Tensor


def divergence(
    student_BTD: Tensor, teacher_BTD: Tensor, heads: tuple[Head, Head], rows: Rows, distill: Divergence
) -> Distilled:
    """Compare two sets of hidden states chunk by chunk; logits are recomputed in the backward pass."""
    mask_BT = rows.completion_mask_BT.bool()

    def compare(student_ND: Tensor, teacher_ND: Tensor, ids_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        student_NV = heads[0](student_ND)
        with torch.no_grad():
            teacher_NV = heads[1](teacher_ND)
            s, t = student_NV.float().log_softmax(-1), teacher_NV.float().log_softmax(-1)
            entropy_N = -(s.exp() * s).sum(-1)
            gap_N = (t - s).gather(-1, ids_N[:, None])[:, 0]
        return distill(student_NV, teacher_NV), entropy_N, gap_N

    chunks = [
        checkpoint(compare, s, t, ids, use_reentrant=False)
        for s, t, ids in zip(
            student_BTD[mask_BT].split(CHUNK),
            teacher_BTD[mask_BT].split(CHUNK),
            rows.completion_BT[mask_BT].split(CHUNK),
            strict=True,
        )
    ]
    flat = [torch.cat(column) for column in zip(*chunks, strict=True)]
    return Distilled(*(_scatter(values_N, mask_BT) for values_N in flat))


def _scatter(values_N: Tensor, mask_BT: Tensor) -> Tensor:
    out_BT = torch.zeros(mask_BT.shape, dtype=values_N.dtype, device=values_N.device)
    return out_BT.masked_scatter(mask_BT, values_N)


def split_rows(rows: Rows, batch: int) -> list[Rows]:
    """The same rows in slices of at most `batch`, each with its own pictures."""
    total, image, patch = rows.prompt_BP.shape[0], 0, 0
    if batch >= total:
        return [rows]
    out = []
    for start in range(0, total, batch):
        own = slice(start, start + batch)
        pictures = {}
        if rows.pictures:
            images = sum(rows.images_B[own])
            grids = rows.pictures["image_grid_thw"][image : image + images]
            patches = int(grids.prod(-1).sum())
            pixels = rows.pictures["pixel_values"][patch : patch + patches]
            pictures = {"pixel_values": pixels, "image_grid_thw": grids}
            image, patch = image + images, patch + patches
        out.append(
            Rows(
                rows.prompt_BP[own],
                rows.prompt_mask_BP[own],
                rows.completion_BT[own],
                rows.completion_mask_BT[own],
                None if rows.types_BP is None else rows.types_BP[own],
                pictures,
                rows.images_B[own],
            )
        )
    return out
