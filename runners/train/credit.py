"""Credit: a method's advantages in the place of TRL's, for the whole generation or as each micro-batch is scored."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from eval.core.errors import UserError
from methods import Credit, Method, Rollouts
from methods.base import NOTHING
from runners.forward.batch import Rows
from runners.forward.logprobs import token_entropies, token_log_probs
from runners.train.callbacks import TEACHER_TOKENS
from runners.train.contexts import context_rows, told_by_any
from runners.train.recorder import Recorder
from runners.train.trl_batch import has_gradient, student_rows

LOGPS = "log-probabilities of the student"
STATE = "method.safetensors"  # a method's state, in checkpoints


class Credits:
    """One run's credit. `trainer` scores, gathers and logs; the method's state over steps is kept here."""

    def __init__(self, trainer: Any, method: Method, recorder: Recorder) -> None:
        self._trainer, self._method, self._recorder = trainer, method, recorder
        self._state: Mapping[str, Tensor] = NOTHING
        self._parts: list[tuple[Tensor, Rollouts, Credit]] = []  # of this generation's micro-batches

    def rollouts(self, batch: dict[str, Any], rewards_B: Tensor, accuracy_B: Tensor) -> Rollouts:
        """Those of all processes, so that credit and its figures do not depend on how many there are."""
        gathered = self._trainer.gathered
        advantages_B, mask_BT = gathered(batch["advantages"]), gathered(batch["completion_mask"])
        told = {name: gathered(batch[f"{name}/told"]) for name in self._method.teachers}
        step = self._trainer.step_of_ours
        return Rollouts(step, rewards_B, advantages_B, mask_BT, accuracy_B=accuracy_B, told=told, state=self._state)

    def assign(self, batch: dict[str, Any], rollouts: Rollouts, own: slice) -> None:
        """Give a generation batch its credit; `own` are this process's rollouts.

        Where credit goes by row and one update follows, the student's log-probabilities are left to that update's own
        forward pass (`of_part`), and the teachers' stay with the batch until then.
        """
        method = self._method
        self._route(batch, rollouts, own)
        if method.credit_uses_teacher and method.asks_teacher(rollouts.step, rollouts.advantages_B).any():
            rollouts = self._scored(batch, rollouts, own)
        if "asked" not in batch:  # else each micro-batch's credit is formed from its own policy pass
            self._take(batch, method.credit(rollouts), rollouts, own)
        if method.teachers:
            self._count(batch, rollouts.step)

    def _count(self, batch: dict[str, Any], step: int) -> None:
        """The tokens of the sequences that teachers are shown for this batch, for credit and for the divergence."""
        trainer, method = self._trainer, self._method
        passes_B = torch.zeros_like(batch["rewards"])
        if method.credit_uses_teacher:
            passes_B += method.asks_teacher(step, batch["group_advantages"])
        if method.distils:
            passes_B += has_gradient(batch, method, trainer.kl)
        completion_B = batch["completion_mask"].sum(1)
        read = sum((passes_B * (batch[f"{name}/mask"].sum(1) + completion_B)).sum() for name in method.teachers)
        trainer.log_value(TEACHER_TOKENS, trainer.accelerator.gather(read).sum().item())

    def _route(self, batch: dict[str, Any], rollouts: Rollouts, own: slice) -> None:
        """Take rollouts out of the policy gradient or the divergence, as the method wants it."""
        route = self._method.route(rollouts)
        if route.policy_B is not None:
            batch["to_policy"] = route.policy_B[own]
        if route.distil_B is not None:
            for name in self._method.teachers:
                batch[f"{name}/told"] = batch[f"{name}/told"] & route.distil_B[own]
        if self._method.teachers:
            told_items = (told_by_any(batch, self._method)[:, None] * batch["completion_mask"]).sum()
            batch["told_items"] = self._trainer.accelerator.gather(told_items).sum()

    def _scored(self, batch: dict[str, Any], rollouts: Rollouts, own: slice) -> Rollouts:
        """With the log-probabilities that credit asks for, or with the teachers' left in the batch."""
        trainer, method = self._trainer, self._method
        asked_B = method.asks_teacher(rollouts.step, batch["advantages"])
        teacher, entropy = {}, {}
        for names in trainer.teachers.by_holder():
            with trainer.teachers.active(names[0]) as model:
                for name in names:
                    rows = context_rows(batch, name)
                    teacher[name], entropy[name] = self._log_probs(model, rows, asked_B, method.credit_uses_entropy)
                    trainer.require_finite("credit", teachers_logps(name), teacher[name], own.start)
        # With several updates TRL has already paid for this pass.
        student_BT = batch.get("old_per_token_logps")
        if student_BT is None and method.credit_by_row:
            items = (asked_B[:, None] * batch["completion_mask"]).sum()
            batch |= {"asked": asked_B, "asked_items": trainer.accelerator.gather(items).sum()}
            batch |= {f"{name}/logps": teacher[name] for name in teacher}
            batch |= {f"{name}/entropy": entropy[name] for name in entropy if method.credit_uses_entropy}
            return rollouts
        if student_BT is None:
            student_BT, _ = self._log_probs(trainer.model, student_rows(batch), asked_B, False)
            trainer.require_finite("credit", LOGPS, student_BT, own.start)
        of_all = {n: trainer.gathered(torch.where(asked_B[:, None], t_BT, student_BT)) for n, t_BT in teacher.items()}
        entropies = {n: trainer.gathered(e_BT) for n, e_BT in entropy.items()} if method.credit_uses_entropy else {}
        return replace(rollouts, student_BT=trainer.gathered(student_BT), teacher=of_all, entropy=entropies)

    def _log_probs(self, model: Any, rows: Rows, asked_B: Tensor, entropy: bool) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, T) of the rows asked for, and entropies where wanted; 0 in the others. Every process
        runs the same number of forward passes."""
        size, temperature = self._trainer.scored_at_once, self._trainer.temperature
        logp_BT = torch.zeros_like(rows.completion_BT, dtype=torch.float32)
        entropy_BT = torch.zeros_like(logp_BT)
        for start in range(0, len(asked_B), size):
            keep = (asked_B[start : start + size].nonzero()[:, 0] + start).tolist() or [start]
            if entropy:
                logp_BT[keep], entropy_BT[keep] = token_entropies(model, rows.select(keep), temperature)
            else:
                logp_BT[keep] = token_log_probs(model, rows.select(keep), temperature)
        return logp_BT, entropy_BT

    def _take(self, batch: dict[str, Any], credit: Credit, rollouts: Rollouts, own: slice) -> None:
        """Put the whole generation's credit in the place of TRL's advantages."""
        log = self._trainer.log_value
        if self._method.policy_gradient:
            self._trainer.require_finite("credit", "advantages", credit.advantages, 0)
            advantages, length = credit.advantages[own], batch["completion_ids"].shape[1]
            batch["advantages"] = routed(batch, advantages if advantages.dim() == 1 else advantages[:, :length])
        if credit.state is not None:
            self._state = {name: value.detach() for name, value in credit.state.items()}
        for name, value in credit.metrics.items():
            log(name, value)
        if rollouts.student_BT is not None:
            asked_B = self._method.asks_teacher(rollouts.step, rollouts.advantages_B)
            asked_BT = rollouts.mask_BT.bool() & asked_B[:, None]
            for name, teacher_BT in rollouts.teacher.items():
                log(gap_name(self._method, name), (teacher_BT - rollouts.student_BT)[asked_BT].mean().item())
            self._recorder.tokens(batch["completion_ids"], rollouts, credit)

    def of_part(self, inputs: dict[str, Any], student_BT: Tensor) -> None:
        """A micro-batch's credit, from the log-probabilities that its own policy pass has just given. After the last
        one, figures of them all."""
        trainer, method, mask_BT = self._trainer, self._method, inputs["completion_mask"]
        asked_BT = inputs["asked"][:, None] * mask_BT
        rollouts = Rollouts(
            trainer.step_of_ours,
            inputs["rewards"],
            inputs["advantages"],
            mask_BT,
            student_BT,
            {n: torch.where(asked_BT.bool(), inputs[f"{n}/logps"], student_BT) for n in method.teachers},
            inputs["accuracy"],
            {n: inputs[f"{n}/entropy"] for n in method.teachers if f"{n}/entropy" in inputs},
            {n: inputs[f"{n}/told"] for n in method.teachers},
        )
        credit = method.credit(rollouts)
        if credit.state is not None:
            raise UserError(
                f"{method.name}: credit keeps state, so it does not go by row; leave credit_by_row at False"
            )
        for name in method.teachers:
            gap_BT = (inputs[f"{name}/logps"] - student_BT) * asked_BT
            trainer.log_mean(gap_name(method, name), gap_BT, inputs["asked_items"])
        inputs["advantages"] = routed(inputs, credit.advantages)
        self._parts.append((inputs["completion_ids"], rollouts, credit))
        if len(self._parts) == trainer.args.steps_per_generation:
            ids_BT, rollouts, credit = joined(self._parts)
            self._recorder.tokens(ids_BT, rollouts, credit)
            self._parts = []
            for name, value in method.credit(self._of_all(rollouts)).metrics.items():
                trainer.log_value(name, value)

    def _of_all(self, rollouts: Rollouts) -> Rollouts:
        """These and those of the other processes, so that figures do not depend on how many there are."""
        found: dict[str, Any] = {}
        for field in fields(Rollouts):
            value = getattr(rollouts, field.name)
            if isinstance(value, Mapping):
                found[field.name] = {name: self._trainer.gathered(one) for name, one in value.items()}
            elif isinstance(value, Tensor):
                found[field.name] = self._trainer.gathered(value)
        return replace(rollouts, **found)

    def save(self, folder: Path) -> None:
        if self._state:
            save_file({name: value.contiguous() for name, value in self._state.items()}, folder / STATE)

    def load(self, folder: Path) -> None:
        if (folder / STATE).exists():
            self._state = load_file(folder / STATE, device=str(self._trainer.accelerator.device))


def routed(batch: dict[str, Any], advantages: Tensor) -> Tensor:
    """0 for the rollouts that are kept from the policy gradient."""
    if "to_policy" not in batch:
        return advantages
    to_policy = batch["to_policy"].to(advantages.dtype)
    return advantages * (to_policy if advantages.dim() == 1 else to_policy[:, None])


def teachers_logps(name: str) -> str:
    return f"log-probabilities of teacher {name}"


def gap_name(method: Method, context: str) -> str:
    """The metric of mean log P_T - log P_S, one for each context where there are several."""
    return "gap" if len(method.teachers) == 1 else f"gap_{context}"


def joined(parts: Sequence[tuple[Tensor, Rollouts, Credit]]) -> tuple[Tensor, Rollouts, Credit]:
    """The micro-batches of one generation as the one batch that they were."""
    ids, rollouts, credits = zip(*parts, strict=True)

    def cat(values: Sequence[Any]) -> Any:
        if isinstance(values[0], Mapping):
            return {name: cat([value[name] for value in values]) for name in values[0]}
        return None if values[0] is None else torch.cat(list(values))

    whole = {f.name: cat([getattr(r, f.name) for r in rollouts]) for f in fields(Rollouts) if f.name != "step"}
    credit = Credit(cat([c.advantages for c in credits]), {}, cat([c.weights_BT for c in credits]))
    return cat(ids), Rollouts(rollouts[0].step, **whole), credit
