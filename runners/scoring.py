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
from torch.distributed.tensor import DTensor
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

CHUNK = 1 << 23  # logits that exist at once: 32 MiB in float32, times the handful that a divergence holds
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
    """Let `model(..., completion_tokens=T, then=f)` return f(hidden states (B, T, D) that predict the last T tokens,
    the output head).

    A keyword of forward, and not a call of the backbone, so that DDP and FSDP wrappers see the pass and have gathered
    the head while `f` runs.
    """
    forward = model.forward

    @functools.wraps(type(model).forward)
    def with_hidden(
        self: Any, *args: Any, completion_tokens: int | None = None, then: Any = None, **kwargs: Any
    ) -> Any:
        if completion_tokens is None:
            return forward(*args, **kwargs)
        out = self.base_model(*args, use_cache=False, **kwargs)
        return then(out.last_hidden_state[:, -completion_tokens - 1 : -1], Head.of(self))

    model.forward = MethodType(with_hidden, model)  # type: ignore[method-assign]


class Head(NamedTuple):
    """An output embedding by value: logits are recomputed in the backward pass, when a sharded module may hold
    nothing and a teacher's other weights than those it was scored with."""

    weight_VD: Tensor
    bias_V: Tensor | None

    @classmethod
    def of(cls, model: Any) -> "Head":
        module = model.get_output_embeddings()
        return cls(*(p.full_tensor() if isinstance(p, DTensor) else p for p in (module.weight, module.bias)))

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


def _run(model: nn.Module, rows: Rows, then: Callable[[Tensor, Head], Any]) -> Any:
    return model(**rows.model_inputs(), completion_tokens=rows.completion_BT.shape[1], then=then)


@torch.no_grad()
def token_log_probs(model: nn.Module, rows: Rows, temperature: float, batch: int) -> Tensor:
    """Log-probabilities (B, T) in float32 of the completion tokens, `batch` rows per forward; 0 on padding."""
    parts = []
    for part in split_rows(rows, batch):
        mask_BT, ids_BT = part.completion_mask_BT.bool(), part.completion_BT

        def score(hidden_BTD: Tensor, head: Head, mask_BT: Tensor = mask_BT, ids_BT: Tensor = ids_BT) -> Tensor:
            hidden_ND, ids_N = hidden_BTD[mask_BT], ids_BT[mask_BT]
            out = [
                head(h, temperature).float().log_softmax(-1).gather(-1, ids[:, None])[:, 0]
                for h, ids in zip(hidden_ND.split(head.chunk), ids_N.split(head.chunk), strict=True)
            ]
            return _scatter(torch.cat(out), mask_BT)

        parts.append(_run(model, part, score))
    return torch.cat(parts)


@torch.no_grad()
def scored_states(model: nn.Module, rows: Rows, copy_head: bool) -> tuple[Tensor, Head]:
    """The hidden states (B, T, D) that predict the completion, and the head that turns them into logits."""
    states: tuple[Tensor, Head] = _run(model, rows, lambda hidden_BTD, head: (hidden_BTD, head.frozen(copy_head)))
    return states


class Distilled(NamedTuple):
    """Per token, (B, T), 0 on padding: the divergence (with gradient), the student's entropy, and the sampled token's
    log-probability under student and teacher."""

    divergence_BT: Tensor
    entropy_BT: Tensor
    student_BT: Tensor
    teacher_BT: Tensor


def divergence(
    model: nn.Module, rows: Rows, teacher: tuple[Tensor, Head], temperature: float, distill: Divergence
) -> Distilled:
    """Compare the model on `rows` with a teacher's hidden states (B, T, D) of the same completions.

    One chunk of logits at a time; they are recomputed in the backward pass.
    """
    mask_BT = rows.completion_mask_BT.bool()
    ids_N = rows.completion_BT[mask_BT]
    teacher_ND, teacher_head = teacher[0][mask_BT], teacher[1]

    def compare(student_ND: Tensor, head: Head, teacher_ND: Tensor, ids_N: Tensor) -> tuple[Tensor, ...]:
        student_NV = head(student_ND, temperature)
        with torch.no_grad():
            teacher_NV = teacher_head(teacher_ND, temperature)
        divergence_N = distill(student_NV, teacher_NV)
        # Last: the recomputation in the backward pass ends where the divergence does.
        with torch.no_grad():
            student_N, entropy_N = _log_prob(student_NV, ids_N), _entropy(student_NV)
            return divergence_N, entropy_N, student_N, _log_prob(teacher_NV, ids_N)

    def score(hidden_BTD: Tensor, head: Head) -> Distilled:
        n = head.chunk
        parts = zip(hidden_BTD[mask_BT].split(n), teacher_ND.split(n), ids_N.split(n), strict=True)
        chunks = [checkpoint(compare, s, head, t, ids, use_reentrant=False) for s, t, ids in parts]
        return Distilled(*(_scatter(torch.cat(column), mask_BT) for column in zip(*chunks, strict=True)))

    out: Distilled = _run(model, rows, score)
    return out


def _log_prob(logits_NV: Tensor, ids_N: Tensor) -> Tensor:
    wide_NV = _wide(logits_NV)
    return wide_NV.gather(-1, ids_N[:, None])[:, 0] - wide_NV.logsumexp(-1)


def _entropy(logits_NV: Tensor) -> Tensor:
    logp_NV = _wide(logits_NV).log_softmax(-1)
    return -(logp_NV.exp() * logp_NV).sum(-1)


def _wide(logits_NV: Tensor) -> Tensor:
    return logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()


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
