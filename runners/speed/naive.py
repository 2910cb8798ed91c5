"""RLSD as one would add it to stock TRL: the baseline of what its teacher costs when nothing is shared."""

from typing import Any

import torch
from torch import Tensor
from trl import GRPOTrainer

from methods import Method, Rollouts
from runners.forward.batch import Rows
from runners.train.contexts import context_rows, contexts_of, inputs_of, prompts_of, turn
from runners.train.trl_batch import student_rows


class NaiveRLSD(GRPOTrainer):  # type: ignore[misc]
    """Scores every rollout with the teacher and once more with the student, row by row, by TRL's own method. The
    teacher is the policy itself: its weights are the same as long as nothing is learnt."""

    def __init__(self, *args: Any, method: Method, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.method = method

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        asked = [{**e, "prompt": turn(e, e["prompt"][-1]["content"], len(e["images"]))} for e in inputs]
        batch: dict[str, Any] = super()._generate_and_score_completions(asked)
        told, (name,) = contexts_of(self.method, inputs, [], 0, self.num_generations), self.method.teachers
        ids, _, fields = self._tokenize_prompts(prompts_of(name, inputs, told))
        read = inputs_of(name, inputs, told, ids, fields, self._tokenizer.pad_token_id, self.accelerator.device)
        advantages_B = batch["advantages"]
        student_BT, teacher_BT = (
            self._scored(rows) for rows in (student_rows(batch), context_rows(batch | read, name))
        )
        step, mask_BT = self.state.global_step + 1, batch["completion_mask"]
        rollouts = Rollouts(step, advantages_B, advantages_B, mask_BT, student_BT, {name: teacher_BT})
        batch["advantages"] = self.method.credit(rollouts).advantages
        return batch

    @torch.no_grad()
    def _scored(self, rows: Rows) -> Tensor:
        inputs = rows.model_inputs()
        ids, mask, length = inputs.pop("input_ids"), inputs.pop("attention_mask"), rows.completion_BT.shape[1]
        size = self.args.per_device_train_batch_size
        images = {"num_images": rows.images_B} if rows.pictures else {}
        logp_BT: Tensor = self._get_per_token_logps_and_entropies(
            self.model, ids, mask, length, batch_size=size, **images, **inputs
        )[0]
        return logp_BT
