"""The one training loop: TRL's GRPOTrainer with the seams that a method fills in.

Every contact with TRL's private API is in this file; TRL is pinned, and tests hold the names used here against it.
"""

from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import gather_object
from peft import PeftModel
from torch import Tensor
from trl import GRPOTrainer
from trl.data_utils import prepare_multimodal_messages
from trl.trainer.utils import pad

from eval.leakage import mentions
from methods import Method, Privilege, Rollouts, Sibling, Task
from methods.functional import importance_ratio
from runners.prompts import content, told_text
from runners.record import OWN, Recorder
from runners.scoring import Rows, divergence, expose_hidden_states, scored_states, token_log_probs
from runners.teacher import TeacherWeights

# How a loss is averaged, ours -> TRL's `loss_type`: over all tokens, within each sequence first, by a constant.
LOSSES = dict(pair.split("=") for pair in ("token=dapo", "sequence=grpo", "constant=dr_grpo"))
PICTURES = ("pixel_values", "image_grid_thw")


class BenchTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPO as TRL has it, plus a told teacher: credit from its log-probabilities, or a divergence from its logits.

    Columns of the data set: prompt, images, answer, solution (may be None). The first reward function is the accuracy.
    """

    def __init__(self, *args: Any, method: Method, recorder: Recorder, banned: list[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.method, self.recorder, self._banned = method, recorder, frozenset(banned)
        policy = self.accelerator.unwrap_model(self.model)
        expose_hidden_states(policy.get_base_model() if isinstance(policy, PeftModel) else policy)
        self.teacher = TeacherWeights(method.teacher, self.model)
        self.updates = self.args.steps_per_generation // self.args.gradient_accumulation_steps
        self._rewards_all = self._accuracy_all = torch.empty(0)
        self._texts: list[str] = []

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
        asked = [{**e, "prompt": self._turn(e, e["prompt"][-1]["content"])} for e in inputs]
        batch: dict[str, Any] = super()._generate_and_score_completions(asked)
        told = self._privileges(inputs)
        self._log("leakage", self._share([bool(mentions(text)) for text in self._texts]))
        if self.method.teacher.kind != "none":
            batch |= self._teacher_prompt(inputs, told)
            batch["told"] = torch.tensor([t is not None for t in told], device=batch["completion_mask"].device)
            told_items = (batch["told"][:, None] * batch["completion_mask"]).sum()
            batch["told_items"] = self.accelerator.gather(told_items).sum()
            self._log("told", self._share([t is not None for t in told]))
        rollouts = self._rollouts(batch)
        credit = self.method.credit(rollouts)
        own = slice(len(inputs) * self.accelerator.process_index, len(inputs) * (self.accelerator.process_index + 1))
        length = batch["completion_ids"].shape[1]
        if self.method.policy_gradient:
            advantages = credit.advantages[own]
            batch["advantages"] = advantages if advantages.dim() == 1 else advantages[:, :length]
        for name, value in credit.metrics.items():
            self._log(name, value)
        if rollouts.teacher_BT is not None and rollouts.student_BT is not None:
            mask_BT = rollouts.mask_BT.bool()
            self._log("gap", (rollouts.teacher_BT - rollouts.student_BT)[mask_BT].mean().item())
        self.recorder.rollouts(inputs, self._texts, told, batch["completion_ids"], own, rollouts, credit)
        return batch

    def _turn(self, example: Any, text: str) -> list[dict[str, Any]]:
        """The prompt with `text` as its last turn and its pictures' places marked in it."""
        return [*example["prompt"][:-1], {"role": "user", "content": content(text, len(example["images"]))}]

    def _privileges(self, inputs: Any) -> list[Privilege | None]:
        """What each local rollout's teacher is told. Groups may straddle ranks, so siblings are gathered first."""
        if self.method.teacher.kind == "none":
            return [None] * len(inputs)
        texts, rewards = gather_object(self._texts), self._accuracy_all.tolist()
        size, first = self.num_generations, self.accelerator.process_index * len(inputs)
        told = []
        for i, example in enumerate(inputs, start=first):
            start = i - i % size
            group = [Sibling(texts[j], rewards[j]) for j in range(start, start + size)]
            told.append(self.method.privilege(Task(example["answer"], example["solution"]), group, i - start))
        return told

    def _teacher_prompt(self, inputs: Any, told: list[Privilege | None]) -> dict[str, Any]:
        """The prompts again with the privileged text; a rollout that is told nothing keeps its own prompt.

        Only text is added and the pictures are the student's: TRL splits and shuffles vision keys by name, so a
        second set under other names would be torn apart.
        """
        prompts = []
        for example, privilege in zip(inputs, told, strict=True):
            text = example["prompt"][-1]["content"]
            text = told_text(text, privilege) if privilege is not None else text
            prompts.append(prepare_multimodal_messages(self._turn(example, text), example["images"]))
        ids, _, fields = self._tokenize_prompts(prompts)
        device, fill = self.accelerator.device, self._tokenizer.pad_token_id

        def left(rows: list[Any], value: int) -> Tensor:
            padded: Tensor = pad([torch.as_tensor(r) for r in rows], padding_value=value, padding_side="left")
            return padded.to(device)

        out = {"teacher_ids": left(ids, fill), "teacher_mask": left([[1] * len(r) for r in ids], 0)}
        if "mm_token_type_ids" in fields:
            out["teacher_types"] = left(fields["mm_token_type_ids"], 0)
        return out

    def _rollouts(self, batch: dict[str, Any]) -> Rollouts:
        """The rollouts of all processes, so that credit and its figures do not depend on how many there are."""
        student_BT = teacher_BT = None
        if self.method.credit_uses_teacher:
            rows, size = (self._student_rows(batch), self.args.per_device_train_batch_size)
            student_BT = batch.get("old_per_token_logps")  # with vLLM rollouts TRL has already paid for this pass
            if student_BT is None:
                student_BT = token_log_probs(self.model, rows, self.temperature, size)
            with self.teacher.active():
                teacher_BT = token_log_probs(self.model, self._teacher_rows(batch), self.temperature, size)
        return Rollouts(
            self.state.global_step // self.updates + 1,
            self._rewards_all,
            self._gathered(batch["advantages"]),
            self._gathered(batch["completion_mask"]),
            self._gathered(student_BT),
            self._gathered(teacher_BT),
        )

    # --- loss -------------------------------------------------------------------------------------------------

    def _compute_loss(self, model: Any, inputs: Any) -> Tensor:
        # The teacher first: its weights take the policy's place, which no graph may have seen yet.
        told = self._told_states(model, inputs) if self.method.distils else None
        loss: Tensor | float = super()._compute_loss(model, inputs) if self.method.policy_gradient else 0.0
        return loss if told is None else loss + self._distil_loss(model, inputs, told)  # type: ignore[return-value]

    def _told_states(self, model: Any, inputs: Any) -> Any:
        with self.teacher.active():
            return scored_states(model, self._teacher_rows(inputs), self.teacher.changes_weights)

    def _distil_loss(self, model: Any, inputs: Any, told: Any) -> Tensor:
        rows = self._student_rows(inputs)
        out = divergence(model, rows, told, self.temperature, self.method.distill)
        told_BT = inputs["told"][:, None] * rows.completion_mask_BT
        self._log_mean("divergence", out.divergence_BT.detach() * told_BT, inputs["told_items"])
        self._log_mean("gap", (out.teacher_BT - out.student_BT) * told_BT, inputs["told_items"])
        if not self.method.policy_gradient:  # otherwise TRL has logged it
            self._log_mean("entropy", out.entropy_BT, inputs["num_items_in_batch"])
        loss_BT, old_BT = out.divergence_BT * told_BT, inputs.get("old_per_token_logps")
        if self.method.importance_clip is not None and old_BT is not None:
            ratio_BT = importance_ratio(out.student_BT, old_BT, self.method.importance_clip)
            self._log_mean("importance", ratio_BT * told_BT, inputs["told_items"])
            loss_BT = loss_BT * ratio_BT
        return self._aggregate(loss_BT, inputs)

    def _aggregate(self, per_token_BT: Tensor, inputs: Any) -> Tensor:
        """Sum of a per-token loss in the way that TRL aggregates the policy's, so that the two can be mixed."""
        mask_BT, steps = (inputs["completion_mask"], self.current_gradient_accumulation_steps)
        if self.loss_type == LOSSES["sequence"]:
            return (per_token_BT.sum(-1) / mask_BT.sum(-1).clamp(min=1)).mean() / steps
        if self.loss_type == LOSSES["constant"]:
            return per_token_BT.sum() / (per_token_BT.shape[0] * self.max_completion_length) / steps
        tokens = inputs["num_items_in_batch"].clamp(min=1) / self.accelerator.num_processes
        return per_token_BT.sum() / (tokens * steps / self.args.steps_per_generation)

    # --- what both need ---------------------------------------------------------------------------------------

    def _student_rows(self, batch: dict[str, Any]) -> Rows:
        size = batch["prompt_ids"].shape[1]
        types = batch.get("mm_token_type_ids")
        return Rows(
            batch["prompt_ids"],
            batch["prompt_mask"],
            batch["completion_ids"],
            batch["completion_mask"],
            None if types is None else types[:, :size],
            {k: batch[k] for k in PICTURES if k in batch},
            batch.get("num_images", []),
        )

    def _teacher_rows(self, batch: dict[str, Any]) -> Rows:
        return replace(
            self._student_rows(batch),
            prompt_BP=batch["teacher_ids"],
            prompt_mask_BP=batch["teacher_mask"],
            types_BP=batch.get("teacher_types"),
        )

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
