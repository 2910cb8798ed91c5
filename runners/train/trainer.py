"""The one training loop: TRL's GRPOTrainer with the seams that a method fills in.

Every contact with TRL's private API is in this file; TRL is pinned, and tests hold the names used here against it.
"""

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from accelerate.utils import gather_object
from peft import PeftModel
from torch import Tensor
from trl import GRPOTrainer
from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from eval.leakage.mention import mentions
from methods import Credit, Method, Rollouts, Sibling
from methods.functional import importance_ratio
from runners.data.image_cache import pictures_once
from runners.forward.batch import PICTURES, Rows
from runners.forward.fsdp import keep_float32
from runners.forward.logprobs import (
    Scores,
    Told,
    expose_hidden_states,
    student_scores,
    token_log_probs,
    told_parts,
    weighed,
)
from runners.forward.packing import can_pack
from runners.forward.split_group import SplitGroup, parts_of_group
from runners.rollout.sampler import share_prompts
from runners.rollout.vllm import correction, share_requests
from runners.train.aggregation import token_weights
from runners.train.privilege import privileges, teacher_inputs, told_prompts, turn
from runners.train.recorder import OWN, Recorder
from runners.train.teacher import TeacherWeights
from runners.train.trl_batch import joined, needed_rows, rows_of, student_rows, teacher_rows


class Pass(NamedTuple):
    """The student's pass over one micro-batch: its inputs, the rows that have a gradient, and what they are told."""

    inputs: dict[str, Any]
    keep: list[int]
    told: Told | None


class BenchTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPO as TRL has it, plus a told teacher: credit from its log-probabilities, or a divergence from its logits.

    Columns of the data set: prompt, images, answer, solution (may be None). The first reward function is the accuracy.
    """

    _buffered_inputs: Any

    def __init__(
        self,
        *args: Any,
        method: Method,
        recorder: Recorder,
        banned: list[int],
        shared_prefix: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        keep_float32(self.accelerator.state)
        self.method, self.recorder, self._banned = method, recorder, frozenset(banned)
        policy = self.accelerator.unwrap_model(self.model)
        policy = policy.get_base_model() if isinstance(policy, PeftModel) else policy
        expose_hidden_states(policy, shared_prefix)
        self._pictures = pictures_once if shared_prefix else nullcontext
        shared, size = shared_prefix and can_pack(policy), self.args.per_device_train_batch_size
        if shared and not self.use_vllm:
            share_prompts(policy)
        if shared_prefix and self.use_vllm and self.vllm_mode == "colocate":
            share_requests(self.vllm_generation.llm)
        in_parts = parts_of_group(size, self.num_generations, self.args.gradient_accumulation_steps)
        self._parts = in_parts if shared else 1  # micro-batches of each group
        self._group: SplitGroup | None = None
        self._told_ahead: list[Told] = []
        self._scored_at_once = max(size, self.num_generations) if shared else size  # where no graph is kept
        self.teacher = TeacherWeights(method.teacher, self.model)
        self.updates = self.args.steps_per_generation // self.args.gradient_accumulation_steps
        self._correction = self.args.vllm_importance_sampling_correction
        self._rewards_all = self._accuracy_all = torch.empty(0)
        self._texts: list[str] = []
        self._pass: Pass | None = None
        self._credited: list[tuple[Tensor, Rollouts, Credit]] = []

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        """As TRL's, but for its shuffling of rows, which would tear the groups apart: one update sees them all anyway,
        and of several updates each sees whole groups, in the order of the data."""
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)  # type: ignore[no-any-return]
        turn = self._step % self.args.steps_per_generation
        if turn == 0 or self._buffered_inputs is None:
            batch = split_pixel_values_by_grid(self._generate_and_score_completions(generation_batch))
            parts = split_tensor_dict(batch, self.args.steps_per_generation)
            self._buffered_inputs = [unsplit_pixel_values_by_grid(part) for part in parts]
        return self._buffered_inputs[turn]  # type: ignore[no-any-return]

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> tuple[list[list[int]], Any]:
        """Sampling with the picture placeholders taken out, should an engine let one through: the next forward
        would find more picture tokens than pictures."""
        ids, logps = super()._generate_single_turn(*args, **kwargs)
        kept = [[t for t in range(len(row)) if row[t] not in self._banned] for row in ids]
        dropped = sum(len(row) - len(keep) for row, keep in zip(ids, kept, strict=True))
        if dropped:
            self._log("placeholders_dropped", dropped)
            ids = [[row[t] for t in keep] for row, keep in zip(ids, kept, strict=True)]
            logps = logps and [[row[t] for t in keep] for row, keep in zip(logps, kept, strict=True)]
        return ids, logps

    # --- rollouts -> credit -----------------------------------------------------------------------------------

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        rewards: Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        weights = self.reward_weights.to(rewards.device)
        self._rewards_all, self._accuracy_all = (rewards * weights).nansum(1), rewards[:, 0]
        self._texts = [c[-1]["content"] for c in completions]
        return rewards

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        asked = [{**e, "prompt": turn(e, e["prompt"][-1]["content"])} for e in inputs]
        # Without the correction TRL does not score what vLLM has sampled.
        self.vllm_importance_sampling_correction = self._correction and not self._corrects_in_update
        with self._pictures(self.processing_class):
            batch: dict[str, Any] = super()._generate_and_score_completions(asked)
            self.vllm_importance_sampling_correction = self._correction
            siblings = [Sibling(*s) for s in zip(gather_object(self._texts), self._accuracy_all.tolist(), strict=True)]
            told = privileges(self.method, inputs, siblings, self._own(inputs).start, self.num_generations)
            if self.method.teacher.kind != "none":
                ids, _, fields = self._tokenize_prompts(told_prompts(inputs, told))
                batch |= teacher_inputs(ids, fields, self._tokenizer.pad_token_id, self.accelerator.device)
        # Pictures wait on the host: a pass takes to the device what it shows, once.
        batch |= {name: batch[name].cpu() for name in PICTURES if name in batch}
        self._log("leakage", self._share([bool(mentions(text)) for text in self._texts]))
        if self.method.teacher.kind != "none":
            batch["told"] = torch.tensor([t is not None for t in told], device=batch["completion_mask"].device)
            told_items = (batch["told"][:, None] * batch["completion_mask"]).sum()
            batch["told_items"] = self.accelerator.gather(told_items).sum()
            self._log("told", self._share([t is not None for t in told]))
        batch["rewards"] = self._rewards_all[self._own(inputs)]
        rollouts = self._rollouts(batch)
        self.recorder.rollouts(inputs, self._texts, told, self._own(inputs), rollouts)
        if "teacher_logps" not in batch:  # else each micro-batch's credit is formed from its own policy pass
            self._take(batch, self.method.credit(rollouts), rollouts, self._own(inputs))
        return batch

    def _own(self, inputs: Any) -> slice:
        """This process's rollouts among those of all."""
        return slice(len(inputs) * self.accelerator.process_index, len(inputs) * (self.accelerator.process_index + 1))

    def _take(self, batch: dict[str, Any], credit: Credit, rollouts: Rollouts, own: slice) -> None:
        """Put the whole generation's credit in the place of TRL's advantages."""
        if self.method.policy_gradient:
            advantages, length = credit.advantages[own], batch["completion_ids"].shape[1]
            batch["advantages"] = advantages if advantages.dim() == 1 else advantages[:, :length]
        for name, value in credit.metrics.items():
            self._log(name, value)
        if rollouts.teacher_BT is not None and rollouts.student_BT is not None:
            asked_BT = rollouts.mask_BT.bool() & self.method.asks_teacher(rollouts.step, rollouts.advantages_B)[:, None]
            self._log("gap", (rollouts.teacher_BT - rollouts.student_BT)[asked_BT].mean().item())
            self.recorder.tokens(batch["completion_ids"], rollouts, credit)

    def _rollouts(self, batch: dict[str, Any]) -> Rollouts:
        """The rollouts of all processes, so that credit and its figures do not depend on how many there are.

        Where a method's credit goes by row and one update follows, the student's log-probabilities are left to that
        update's own forward pass, and the teacher's stay with the batch until then.
        """
        step, student_BT, teacher_BT = self._step_of_ours, None, None
        advantages_B = self._gathered(batch["advantages"])
        if self.method.credit_uses_teacher and self.method.asks_teacher(step, advantages_B).any():
            asked_B = self.method.asks_teacher(step, batch["advantages"])
            with self.teacher.active():
                teacher_BT = self._log_probs(teacher_rows(batch), asked_B)
            # With several updates TRL has already paid for this pass.
            student_BT = batch.get("old_per_token_logps")
            if student_BT is None and self.method.credit_by_row:
                batch |= {"teacher_logps": teacher_BT, "asked": asked_B}
                items = (asked_B[:, None] * batch["completion_mask"]).sum()
                batch["asked_items"] = self.accelerator.gather(items).sum()
                teacher_BT = None
            else:
                student_BT = self._log_probs(student_rows(batch), asked_B) if student_BT is None else student_BT
                teacher_BT = torch.where(asked_B[:, None], teacher_BT, student_BT)
        return Rollouts(
            step,
            self._rewards_all,
            advantages_B,
            self._gathered(batch["completion_mask"]),
            None if teacher_BT is None else self._gathered(student_BT),
            self._gathered(teacher_BT),
        )

    def _log_probs(self, rows: Rows, asked_B: Tensor) -> Tensor:
        """(B, T) of the rows asked for; 0 in the others. Every process runs the same number of forward passes."""
        out_BT, size = torch.zeros_like(rows.completion_BT, dtype=torch.float32), self._scored_at_once
        for start in range(0, len(asked_B), size):
            keep = (asked_B[start : start + size].nonzero()[:, 0] + start).tolist() or [start]
            out_BT[keep] = token_log_probs(self.model, rows.select(keep), self.temperature)
        return out_BT

    # --- loss -------------------------------------------------------------------------------------------------

    def _compute_loss(self, model: Any, inputs: Any) -> Tensor:
        inputs = dict(inputs)
        keep = self._needed(inputs)
        if self._step % self._parts == 0:
            self._group = SplitGroup(self._parts) if self._parts > 1 else None
        # The teacher first: its weights take the policy's place, which no graph may have seen yet.
        self._pass = Pass(inputs, keep, self._told(model, inputs, keep) if self.method.distils else None)
        try:
            if self.method.policy_gradient:
                loss: Tensor = super()._compute_loss(model, inputs)  # asks for the log-probabilities below
                return loss + inputs.pop("distilled", 0.0)
            self._student_pass(model, self._pass)
            return inputs["distilled"]  # type: ignore[no-any-return]
        finally:
            self._pass = None

    def _needed(self, inputs: dict[str, Any]) -> list[int]:
        return needed_rows(inputs, self.method, kl=self.beta != 0)

    def _told(self, model: Any, inputs: dict[str, Any], keep: list[int]) -> Told:
        """Of a group in parts all is told with the first of them, before there is a graph of its prompt."""
        if self._step % self._parts == 0:
            turn = self._step % self.args.steps_per_generation
            others = (self._buffered_inputs or [])[turn + 1 : turn + self._parts]
            parts = [teacher_rows(one).select(self._needed(one)) for one in (inputs, *others)]
            with self.teacher.active():
                self._told_ahead = told_parts(model, parts, self.method.distill, self.teacher.changes_weights)
        return self._told_ahead.pop(0)

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """TRL's question, from a loss or, without gradient, about all rollouts at once or about a reference model."""
        if self._pass is not None:
            return *self._student_pass(model, self._pass), None
        if model is not self.model:
            return super()._get_per_token_logps_and_entropies(model, *args, **kwargs)
        rows = rows_of(*args, **kwargs)
        parts = rows.split(max(kwargs.get("batch_size") or len(rows.prompt_BP), self._scored_at_once))
        return torch.cat([token_log_probs(model, part, self.temperature) for part in parts]), None, None

    def _student_pass(self, model: Any, this: Pass) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies (B, T) of the micro-batch; forms what of the loss is not TRL's.

        A row without a gradient keeps its old log-probabilities, and shows the mean entropy of the others.
        """
        inputs, keep = this.inputs, this.keep
        rows = student_rows(inputs).select(keep)
        coefficient = None if this.told is None else self._coefficient(inputs, keep, rows)
        policy = self.method.policy_gradient
        scores = student_scores(model, rows, self.temperature, this.told, coefficient, policy, self._group)
        if this.told is not None:
            inputs["distilled"] = scores.loss
            self._log_distilled(inputs, keep, rows, scores)
        index_K, mask_BT = torch.tensor(keep, device=rows.completion_BT.device), inputs["completion_mask"]
        old_BT = inputs.get("old_per_token_logps")
        rest_BT = torch.zeros(mask_BT.shape, device=mask_BT.device) if old_BT is None else old_BT
        logp_BT = rest_BT.index_copy(0, index_K, scores.logp_BT)
        mean = scores.entropy_BT.sum() / rows.completion_mask_BT.sum().clamp(min=1)
        entropy_BT = (mean * mask_BT).index_copy(0, index_K, scores.entropy_BT)
        if "teacher_logps" in inputs:
            self._credit(inputs, logp_BT.detach())
        if self._corrects_in_update:
            inputs["importance_sampling_ratio"], apart = correction(inputs, index_K, logp_BT.detach(), self.args)
            self._log("sampling_difference", self.accelerator.gather(apart).mean().item())
        return logp_BT, entropy_BT

    @property
    def _corrects_in_update(self) -> bool:
        """Where one update follows the rollouts, its own pass says how far vLLM's log-probabilities were off."""
        return bool(self.use_vllm and self._correction and self.updates == 1)

    def _credit(self, inputs: dict[str, Any], student_BT: Tensor) -> None:
        """A micro-batch's credit, from the log-probabilities that its own policy pass has just given."""
        asked_BT = inputs["asked"][:, None] * inputs["completion_mask"]
        rollouts = Rollouts(
            self._step_of_ours,
            inputs["rewards"],
            inputs["advantages"],
            inputs["completion_mask"],
            student_BT,
            torch.where(asked_BT.bool(), inputs["teacher_logps"], student_BT),
        )
        credit = self.method.credit(rollouts)
        for name, value in credit.metrics.items():
            self._log_mean(name, value * inputs["completion_mask"], inputs["num_items_in_batch"])
        self._log_mean("gap", (inputs["teacher_logps"] - student_BT) * asked_BT, inputs["asked_items"])
        inputs["advantages"] = credit.advantages
        self._credited.append((inputs["completion_ids"], rollouts, credit))
        if len(self._credited) == self.args.steps_per_generation:
            self.recorder.tokens(*joined(self._credited))
            self._credited = []

    def _coefficient(self, inputs: dict[str, Any], keep: list[int], rows: Rows) -> Any:
        """What each told token's divergence counts in the loss, by the student's log-probabilities."""
        mask_BT, old_BT = rows.completion_mask_BT.bool(), inputs.get("old_per_token_logps")
        # The mean over an update's micro-batches; that of all tokens counts those of the generation in all processes.
        parts, of_all = self.current_gradient_accumulation_steps, self.accelerator.num_processes
        tokens = inputs["num_items_in_batch"].clamp(min=1) / (of_all * self.args.steps_per_generation)
        weight_BT = token_weights(inputs["completion_mask"], self.loss_type, tokens, self.max_completion_length) / parts
        weight_N = (weight_BT * inputs["told"][:, None])[keep][mask_BT]
        return weighed(weight_N, None if old_BT is None else old_BT[keep][mask_BT], self.method.importance_clip)

    def _log_distilled(self, inputs: dict[str, Any], keep: list[int], rows: Rows, scores: Scores) -> None:
        items = inputs["told_items"]
        if not items:
            return
        told_BT = inputs["told"][keep, None] * rows.completion_mask_BT
        assert scores.divergence_BT is not None and scores.teacher_BT is not None
        student_BT, old_BT = scores.logp_BT.detach(), inputs.get("old_per_token_logps")
        self._log_mean("divergence", scores.divergence_BT * told_BT, items)
        self._log_mean("gap", (scores.teacher_BT - student_BT) * told_BT, items)
        if not self.method.policy_gradient:  # otherwise TRL logs it
            self._log_mean("entropy", scores.entropy_BT * told_BT, items)
        if self.method.importance_clip is not None and old_BT is not None:
            ratio_BT = importance_ratio(student_BT, old_BT[keep], self.method.importance_clip)
            self._log_mean("importance", ratio_BT * told_BT, items)

    # --- what both need ---------------------------------------------------------------------------------------

    @property
    def _step_of_ours(self) -> int:
        return self.state.global_step // self.updates + 1

    def _gathered(self, value: Any) -> Any:
        """(B,) or (B, T) of all processes, padded to the longest completion with 0."""
        if value is None or self.accelerator.num_processes == 1:
            return value
        return self.accelerator.gather(self.accelerator.pad_across_processes(value, dim=min(1, value.dim() - 1)))

    def _share(self, flags: list[bool]) -> float:
        flags_B = torch.tensor(flags, dtype=torch.float32, device=self.accelerator.device)
        return float(self.accelerator.gather(flags_B).mean().item())

    def _log_mean(self, name: str, value_BT: Tensor, items: Tensor) -> None:
        """A micro-batch's part of the mean over all `items` tokens of the generation, whatever its share of them.

        What is logged is averaged over the micro-batches, hence their number as a factor.
        """
        total = self.accelerator.reduce(value_BT.sum(), reduction="sum")
        self._log(name, (total * self.args.steps_per_generation / items.clamp(min=1)).item())

    def _log(self, name: str, value: float) -> None:
        # TRL's own _log_metric is flushed before the rollouts of this step are scored: it would come a step late.
        self._metrics["train" if self.model.training else "eval"][OWN + name].append(value)
