"""The one place that turns rows of tokens into log-probabilities and divergences.

How the rows go through the model is a matter of hidden_states.py, what becomes of the logits one of chunked_head.py.
Only the hidden states that predict a completion token leave the model.
"""

import functools
from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from methods.functional import importance_ratio
from runners.forward.batch import Rows, together
from runners.forward.chunked_head import Distill, States, distil, log_probs, sampled
from runners.forward.hidden_states import Layouts
from runners.forward.lm_head import Head, form_of
from runners.forward.split_group import SplitGroup


def expose_hidden_states(model: nn.Module, shared_prefix: bool = True) -> None:
    """Let `model(rows=rows, then=f)` return f(hidden states (N, D) that predict the N completion tokens, the head).

    A keyword of forward, and not a call of the backbone, so that DDP and FSDP wrappers see the pass and have gathered
    the head while `f` runs. `group=` says what the rows are the next part of. Raises UserError for a model whose logits
    are not its head's of these states.
    """
    forward, form, layouts = model.forward, form_of(model), Layouts(model, shared_prefix)

    @functools.wraps(type(model).forward)
    def with_hidden(
        self: Any,
        *args: Any,
        rows: Rows | None = None,
        then: Any = None,
        group: SplitGroup | None = None,
        **kwargs: Any,
    ) -> Any:
        if rows is None:
            return forward(*args, **kwargs)
        return then(layouts.hidden_states(self, rows, group), Head.of(self, form))

    model.forward = MethodType(with_hidden, model)  # type: ignore[method-assign]


class Scores(NamedTuple):
    """Of each completion token, (B, T), 0 on padding. Only `logp_BT` and `loss` carry a gradient."""

    logp_BT: Tensor  # of the sampled token, under the student
    entropy_BT: Tensor  # of the student
    loss: Tensor | None = None  # sum of coefficient x divergence; the rest of what a teacher adds:
    divergence_BT: Tensor | None = None
    teacher: Mapping[str, Tensor] | None = None  # log-probability of the sampled token under each


@torch.no_grad()
def token_log_probs(model: nn.Module, rows: Rows, temperature: float) -> Tensor:
    """Log-probabilities (B, T) in float32 of the completion tokens; 0 on padding."""
    mask_BT = rows.completion_mask_BT.bool()
    ids_N = rows.completion_BT[mask_BT]
    logp_N: Tensor = model(rows=rows, then=lambda hidden_ND, head: log_probs(hidden_ND, head, ids_N, temperature))
    return _spread(logp_N, mask_BT)


@torch.no_grad()
def token_entropies(model: nn.Module, rows: Rows, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities as above, and entropies (B, T) in nats of the distributions they were drawn from."""
    mask_BT = rows.completion_mask_BT.bool()
    ids_N = rows.completion_BT[mask_BT]
    both = model(rows=rows, then=lambda hidden_ND, head: sampled(hidden_ND, head, ids_N, temperature))
    return _spread(both[0], mask_BT), _spread(both[1], mask_BT)


@torch.no_grad()
def teacher_states(model: nn.Module, rows: Rows, copy_head: bool) -> States:
    """What a teacher says of `rows`; with a copy of its head where the weights are about to change in place."""
    states: States = model(rows=rows, then=lambda hidden_ND, head: States(hidden_ND, head.frozen(copy_head)))
    return states


def states_of_parts(model: nn.Module, parts: list[Rows], copy_head: bool) -> list[States]:
    """What a teacher says of several micro-batches, in one pass."""
    states = teacher_states(model, together(parts), copy_head)
    tokens = [int(rows.completion_mask_BT.sum()) for rows in parts]
    return [states._replace(hidden_ND=hidden_ND) for hidden_ND in states.hidden_ND.split(tokens)]


def weighed(weight_N: Tensor, old_N: Tensor | None, clip: float | None) -> Callable[[Tensor, slice], Tensor]:
    """A `coefficient` for `student_scores`: the weight of each token, times the clipped ratio of its probability to the
    `old` one where both are given."""

    def coefficient(student_N: Tensor, where: slice) -> Tensor:
        if old_N is None or clip is None:
            return weight_N[where]
        return weight_N[where] * importance_ratio(student_N, old_N[where], clip)

    return coefficient


def student_scores(
    model: nn.Module,
    rows: Rows,
    temperature: float,
    teachers: Mapping[str, States] | None = None,
    distill: Distill | None = None,
    coefficient: Callable[[Tensor, slice], Tensor] | None = None,
    policy: bool = True,
    group: SplitGroup | None = None,
) -> Scores:
    """One forward pass of the student on `rows`.

    `coefficient(log-probabilities, which tokens)` multiplies what `distill` says of each token's distance from the
    `teachers`, in the order of the rows. Without `policy` nobody asks for a gradient of the log-probabilities. `group`:
    which `rows` are the next part of.
    """
    mask_BT = rows.completion_mask_BT.bool()
    ids_N = rows.completion_BT[mask_BT]

    spread = functools.partial(_spread, mask_BT=mask_BT)

    def score(hidden_ND: Tensor, head: Head) -> Scores:
        if teachers is None:
            logp_N, entropy_N = sampled(hidden_ND, head, ids_N, temperature)
            return Scores(spread(logp_N), spread(entropy_N))
        assert distill is not None and coefficient is not None
        out = distil(hidden_ND, head, teachers, ids_N, temperature, distill, coefficient)
        logp_N = sampled(hidden_ND, head, ids_N, temperature)[0] if policy else out.student_N
        teacher = {name: spread(teacher_N) for name, teacher_N in out.teacher.items()}
        return Scores(spread(logp_N), spread(out.entropy_N), out.loss, spread(out.divergence_N), teacher)

    scores: Scores = model(rows=rows, then=score, **({} if group is None else {"group": group}))
    return scores


def _spread(values_N: Tensor, mask_BT: Tensor) -> Tensor:
    """(B, T), 0 on padding."""
    out_BT = torch.zeros(mask_BT.shape, dtype=values_N.dtype, device=values_N.device)
    return out_BT.masked_scatter(mask_BT, values_N)
