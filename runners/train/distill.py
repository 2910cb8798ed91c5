"""Divergences: how far the student is from what its teachers say, in the loss of a micro-batch."""

from typing import Any

from torch import Tensor

from methods import Method, Tokens
from methods.functional import importance_ratio
from runners.forward.batch import Rows
from runners.forward.chunked_head import Distill, States
from runners.forward.logprobs import Scores, states_of_parts, weighed
from runners.train.contexts import context_rows, told_by_any
from runners.train.credit import gap_name

# Ours -> TRL's `loss_type`: over all tokens, within each sequence first, by a constant.
LOSSES = dict(pair.split("=") for pair in ("token=dapo", "sequence=grpo", "constant=dr_grpo"))


def token_weights(mask_BT: Tensor, loss_type: str, tokens: Tensor, length: int) -> Tensor:
    """(B, T): each token's share in the loss of a micro-batch, as TRL averages the policy's.

    `tokens`: of all micro-batches, their mean number; `length`: the constant's tokens a sequence.
    """
    if loss_type == LOSSES["sequence"]:
        return mask_BT / (mask_BT.sum(-1, keepdim=True).clamp(min=1) * len(mask_BT))
    return mask_BT / (len(mask_BT) * length if loss_type == LOSSES["constant"] else tokens)


class Distillation:
    """One run's divergences. `trainer` holds the teachers, and logs."""

    def __init__(self, trainer: Any, method: Method) -> None:
        self._trainer, self._method = trainer, method
        self._ahead: list[dict[str, States]] = []

    def states(self, inputs: dict[str, Any], others: list[dict[str, Any]], first: bool) -> dict[str, States]:
        """What each teacher says of a micro-batch. Of a group in parts all is asked with the first of them, before
        there is a graph of its prompt; `others` are those that follow."""
        if first:
            self._ahead = self._read([inputs, *others])
        return self._ahead.pop(0)

    def _read(self, parts: list[dict[str, Any]]) -> list[dict[str, States]]:
        trainer, said = self._trainer, [dict[str, States]() for _ in parts]
        keeps = [trainer.needed(part) for part in parts]
        for names in trainer.teachers.by_holder():
            with trainer.teachers.active(names[0]) as model:
                for name in names:
                    rows = [context_rows(part, name).select(keep) for part, keep in zip(parts, keeps, strict=True)]
                    states = states_of_parts(model, rows, trainer.teachers.changes_weights(name))
                    for of_part, found in zip(said, states, strict=True):
                        of_part[name] = found
        return said

    def distill(self, inputs: dict[str, Any], keep: list[int], rows: Rows) -> Distill:
        """The method's divergence of these rows' tokens."""
        mask_BT = rows.completion_mask_BT.bool()
        position_BT = mask_BT.long().cumsum(1) - 1

        def spread(value_B: Tensor) -> Tensor:
            return value_B[keep, None].expand(mask_BT.shape)[mask_BT]

        tokens = Tokens(
            self._trainer.step_of_ours,
            reward_N=spread(inputs["rewards"]),
            accuracy_N=spread(inputs["accuracy"]),
            advantage_N=spread(inputs["group_advantages"]),
            solved_N=spread(inputs["solved"]),
            position_N=position_BT[mask_BT],
            length_N=mask_BT.sum(1, keepdim=True).expand(mask_BT.shape)[mask_BT],
            told={name: spread(inputs[f"{name}/told"]) for name in self._method.teachers},
        )
        method = self._method
        return lambda student_NV, teachers, where: method.distill(student_NV, teachers, tokens[where])

    def coefficient(self, inputs: dict[str, Any], keep: list[int], rows: Rows) -> Any:
        """What each told token's divergence counts in the loss, by the student's log-probabilities."""
        trainer, mask_BT, old_BT = self._trainer, rows.completion_mask_BT.bool(), inputs.get("old_per_token_logps")
        # The mean over an update's micro-batches; that of all tokens counts those of the generation in all processes.
        parts, of_all = trainer.current_gradient_accumulation_steps, trainer.accelerator.num_processes
        tokens = inputs["num_items_in_batch"].clamp(min=1) / (of_all * trainer.args.steps_per_generation)
        length = trainer.max_completion_length
        weight_BT = token_weights(inputs["completion_mask"], trainer.loss_type, tokens, length) / parts
        weight_BT = weight_BT * self._method.divergence_weight
        weight_N = (weight_BT * told_by_any(inputs, self._method)[:, None])[keep][mask_BT]
        return weighed(weight_N, None if old_BT is None else old_BT[keep][mask_BT], self._method.importance_clip)

    def log(self, inputs: dict[str, Any], keep: list[int], rows: Rows, scores: Scores) -> None:
        items, log_mean = inputs["told_items"], self._trainer.log_mean
        if not items:
            return
        told_BT = told_by_any(inputs, self._method)[keep, None] * rows.completion_mask_BT
        assert scores.divergence_BT is not None and scores.teacher is not None
        student_BT, old_BT = scores.logp_BT.detach(), inputs.get("old_per_token_logps")
        log_mean("divergence", scores.divergence_BT * told_BT, items)
        for name, teacher_BT in scores.teacher.items():
            log_mean(gap_name(self._method, name), (teacher_BT - student_BT) * told_BT, items)
        if self._method.importance_clip is not None and old_BT is not None:
            ratio_BT = importance_ratio(student_BT, old_BT[keep], self._method.importance_clip)
            log_mean("importance", ratio_BT * told_BT, items)
