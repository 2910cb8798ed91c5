"""The one training loop: TRL's GRPOTrainer with the seams that a method fills in.

Overrides of TRL's private methods stand here alone; TRL is pinned, and tests hold the names used against it.
"""

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from accelerate.utils import gather_object
from peft import PeftModel
from torch import Tensor, nn
from trl import GRPOTrainer
from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from eval.engines.chat import system_turn
from eval.leakage import leaks
from methods import Method, Sibling
from runners.data.image_cache import laid_by_grids, pictures_once
from runners.forward.chunked_head import States
from runners.forward.fsdp import keep_float32
from runners.forward.logprobs import Scores, expose_hidden_states, student_scores, token_entropies, token_log_probs
from runners.forward.packing import can_pack
from runners.forward.split_group import SplitGroup, parts_of_group
from runners.rollout.correction import distances, require_close, sampling_ratio
from runners.rollout.sampler import share_prompts
from runners.rollout.vllm import read_as_trained
from runners.run.config import Settings
from runners.run.finite import NotFinite, Phase, require_finite
from runners.train.callbacks import OWN, THEIR_DIFFERENCE
from runners.train.contexts import UNPADDED, Contexts, contexts_of, fields_of, inputs_of, prompts_of, turn
from runners.train.credit import LOGPS, Credits, teachers_logps
from runners.train.distill import Distillation
from runners.train.recorder import Recorder
from runners.train.teacher import Teachers
from runners.train.trl_batch import has_gradient, needed_rows, pictures_on_host, rows_of, student_rows


class Pass(NamedTuple):
    """The student's pass over one micro-batch: its inputs, the rows that have a gradient, and what teachers say."""

    inputs: dict[str, Any]
    keep: list[int]
    states: dict[str, States] | None


class BenchTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPO as TRL has it, plus told teachers: credit from their log-probabilities, or a divergence from their logits.
    Columns of the data set: prompt, images, answer, solution (may be None). The first reward function is the accuracy.
    """

    _buffered_inputs: Any

    def __init__(
        self,
        *args: Any,
        method: Method,
        recorder: Recorder,
        banned: list[int],
        settings: Settings,
        external: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        keep_float32(self.accelerator.state)
        self.method, self.recorder, self._banned = method, recorder, frozenset(banned)
        self._plain = not self._is_vlm  # a text model's template knows no parts
        self._system, shared_prefix = system_turn(settings.model.system, self._plain), settings.train.shared_prefix
        self._max_difference = settings.train.vllm_max_difference
        policy = self.accelerator.unwrap_model(self.model)
        policy = policy.get_base_model() if isinstance(policy, PeftModel) else policy
        expose_hidden_states(policy, shared_prefix)
        grids = laid_by_grids(self.processing_class)
        self._pictures = pictures_once if shared_prefix and grids else nullcontext
        self._fields: list[dict[str, Tensor]] | None = None  # of each rollout, where no grid says whose is what
        self._keeps_fields = not (grids or self._plain)
        self.chat_template_kwargs = {**(self.args.chat_template_kwargs or {}), **({} if self._plain else UNPADDED)}
        shared, size = shared_prefix and can_pack(policy), self.args.per_device_train_batch_size
        if shared and not self.use_vllm:
            share_prompts(policy)
        if self.use_vllm:
            read_as_trained(self.vllm_generation.llm, getattr(policy.config, "image_token_id", None), shared_prefix)
        in_parts = parts_of_group(size, self.num_generations, self.args.gradient_accumulation_steps)
        self._parts = in_parts if shared else 1  # micro-batches of each group
        self._group: SplitGroup | None = None
        self.scored_at_once = max(size, self.num_generations) if shared else size  # where no graph is kept
        if external is not None:
            expose_hidden_states(external.to(self.accelerator.device), shared_prefix)
        self.teachers = Teachers(method.teachers, self.model, external)
        self.credits, self._distillation = Credits(self, method, recorder), Distillation(self, method)
        self.updates = self.args.steps_per_generation // self.args.gradient_accumulation_steps
        self.kl = self.beta != 0
        self._correction = self.args.vllm_importance_sampling_correction
        self._rewards_all = self._accuracy_all = torch.empty(0)
        self._texts: list[str] = []
        self._pass: Pass | None = None
        self._scores: Scores | None = None  # of the last micro-batch
        self.create_model_card = lambda **_: None  # TRL's calls every method GRPO; ours: runners/launch/card.py

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

    def _generate(self, *args: Any) -> tuple[Any, ...]:
        """As TRL's, but that a prompt without pictures, beside one with some, has none in a list: no processor reads
        TRL's None, and no vLLM the list."""
        *most, images, of_tools = super()._generate(*args)
        return *most, images and [pictures or [] for pictures in images], of_tools

    def _generate_single_turn(self, prompts: Any, images: Any, *args: Any, **kwargs: Any) -> Any:
        """Sampling with the picture placeholders taken out, should an engine let one through: the next forward
        would find more picture tokens than pictures."""
        if self.use_vllm and images:  # which takes None where a processor takes an empty list
            images = [shown or None for shown in images]
        ids, logps = super()._generate_single_turn(prompts, images, *args, **kwargs)
        kept = [[t for t in range(len(row)) if row[t] not in self._banned] for row in ids]
        dropped = sum(len(row) - len(keep) for row, keep in zip(ids, kept, strict=True))
        if dropped:
            self.log_value("placeholders_dropped", dropped)
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
        inputs = [{**e, "prompt": [*self._system, *e["prompt"]]} for e in inputs]
        asked = [{**e, "prompt": turn(e, e["prompt"][-1]["content"], len(e["images"]), self._plain)} for e in inputs]
        # Without the correction TRL does not score what vLLM has sampled.
        self.vllm_importance_sampling_correction = self._correction and not self._corrects_in_update
        with self._pictures(self.processing_class):
            if self._keeps_fields:
                self._fields = fields_of(self, prompts_of("", inputs, [{}] * len(inputs), self._plain))
            try:
                batch: dict[str, Any] = super()._generate_and_score_completions(asked)
            except FloatingPointError as error:
                rows = [self._own(inputs).start + row for row in error.args[0]]
                raise NotFinite(f"step {self.step_of_ours}, rollouts", "logits", rows) from None
            self.vllm_importance_sampling_correction = self._correction
            told = self._contexts(inputs)
            for name in self.method.teachers:
                batch |= self._context_inputs(name, inputs, told)
        batch = pictures_on_host(batch, self._fields)
        shares = leaks(self._texts) | ({"told": [bool(contexts) for contexts in told]} if self.method.teachers else {})
        for name, flags in shares.items():
            flags_B = torch.tensor(flags, dtype=torch.float32, device=self.accelerator.device)
            self.log_value(name, self.accelerator.gather(flags_B).mean().item())
        own = self._own(inputs)
        solved_B = self._accuracy_all.view(-1, self.num_generations).mean(1).repeat_interleave(self.num_generations)
        batch |= {"rewards": self._rewards_all[own], "accuracy": self._accuracy_all[own], "solved": solved_B[own]}
        batch["group_advantages"] = batch["advantages"]
        rollouts = self.credits.rollouts(batch, self._rewards_all, self._accuracy_all)
        self.recorder.rollouts(inputs, self._texts, told, own, rollouts)
        self.credits.assign(batch, rollouts, own)
        self._score_rest(batch)
        if self.use_vllm and not self._corrects_in_update:
            require_close(self._metrics["train"][THEIR_DIFFERENCE], self.step_of_ours, self._max_difference)
        return batch

    def _score_rest(self, batch: dict[str, Any]) -> None:
        """What metrics of all completion tokens ask of the rollouts that no update will forward: of each, (B,), the sum
        of its tokens' entropies, and of their distance from vLLM's log-probabilities."""
        gradient_B = has_gradient(batch, self.method, self.kl)
        rest, size = (~gradient_B).nonzero()[:, 0].tolist(), self.scored_at_once
        sums_B2 = torch.zeros(len(gradient_B), 2, device=gradient_B.device)
        passes = torch.tensor(-(-len(rest) // size), device=gradient_B.device)
        for start in range(0, int(self.accelerator.gather(passes).max()) * size, size):  # as many in each process
            rows = rest[start : start + size]
            logp_BT, entropy_BT = token_entropies(self.model, student_rows(batch).select(rows or [0]), self.temperature)
            if rows:
                sums_B2[rows, 0] = entropy_BT.sum(1).float()
                sums_B2[rows, 1] = distances(batch, rows, logp_BT).sum(1)
        batch |= {"rest/entropy": sums_B2[:, 0], "rest/apart": sums_B2[:, 1]}

    def _contexts(self, inputs: Any) -> list[Contexts]:
        """What this process's rollouts are told, each beside its whole group."""
        siblings = [Sibling(*s) for s in zip(gather_object(self._texts), self._accuracy_all.tolist(), strict=True)]
        return contexts_of(self.method, inputs, siblings, self._own(inputs).start, self.num_generations)

    def _context_inputs(self, name: str, inputs: Any, told: list[Contexts]) -> dict[str, Any]:
        prompts = prompts_of(name, inputs, told, self._plain)
        ids, _, types = self._tokenize_prompts(prompts)
        others = any(name in contexts and contexts[name].pictures is not None for contexts in told)
        fields = fields_of(self, prompts) if others else None
        return inputs_of(name, told, ids, types, fields, self._tokenizer.pad_token_id, self.accelerator.device)

    def _own(self, inputs: Any) -> slice:
        """This process's rollouts among those of all."""
        return slice(len(inputs) * self.accelerator.process_index, len(inputs) * (self.accelerator.process_index + 1))

    # --- loss -------------------------------------------------------------------------------------------------

    def _compute_loss(self, model: Any, inputs: Any) -> Tensor:
        inputs = dict(inputs)
        keep = self.needed(inputs)
        if self._step % self._parts == 0:
            self._group = SplitGroup(self._parts) if self._parts > 1 else None
        # The teachers first: their weights take the policy's place, which no graph may have seen yet.
        self._pass = Pass(inputs, keep, self._states(inputs) if self.method.distils else None)
        try:
            if self.method.policy_gradient:
                loss: Tensor = super()._compute_loss(model, inputs)  # asks for the log-probabilities below
                loss = loss + inputs.pop("distilled", 0.0)
            else:
                self._student_pass(model, self._pass)
                loss = inputs["distilled"]
        finally:
            self._pass = None
        if not loss.isfinite():
            self._refuse(loss, inputs, keep)
        return loss

    def _refuse(self, loss: Tensor, inputs: dict[str, Any], keep: list[int]) -> None:
        """Raises NotFinite with what came first of all that a loss is made of."""
        rows, turn = len(inputs["advantages"]), self._step % self.args.steps_per_generation
        first = rows * (self.accelerator.process_index * self.args.steps_per_generation + turn)
        scores = self._scores
        assert scores is not None
        self.require_finite("update", LOGPS, scores.logp_BT, [first + row for row in keep])
        for name in self.method.teachers:
            if (said_BT := inputs.get(f"{name}/logps")) is not None:
                self.require_finite("credit", teachers_logps(name), said_BT, first)
        for name, said_BT in (scores.teacher or {}).items():
            self.require_finite("update", teachers_logps(name), said_BT, [first + row for row in keep])
        if scores.divergence_BT is not None:
            self.require_finite("update", "divergence", scores.divergence_BT, [first + row for row in keep])
        self.require_finite("credit", "advantages", inputs["advantages"], first)
        self.require_finite("update", "loss", loss)

    def needed(self, inputs: dict[str, Any]) -> list[int]:
        """The rows of a micro-batch that its loss has a gradient in: all others are forwarded by nobody."""
        return needed_rows(inputs, self.method, self.kl)

    def _states(self, inputs: dict[str, Any]) -> dict[str, States]:
        turn = self._step % self.args.steps_per_generation
        others = (self._buffered_inputs or [])[turn + 1 : turn + self._parts]
        return self._distillation.states(inputs, others, self._step % self._parts == 0)

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """TRL's question, from a loss or, without gradient, about all rollouts at once or about a reference model."""
        if self._pass is not None:
            return *self._student_pass(model, self._pass), None
        if model is not self.model:
            return super()._get_per_token_logps_and_entropies(model, *args, **kwargs)
        rows = rows_of(*args, **kwargs, pictures=self._fields)
        parts = rows.split(max(kwargs.get("batch_size") or len(rows.prompt_BP), self.scored_at_once))
        return torch.cat([token_log_probs(model, part, self.temperature) for part in parts]), None, None

    def _student_pass(self, model: Any, this: Pass) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies (B, T) of the micro-batch; forms what of the loss is not TRL's.

        A row without a gradient keeps its old log-probabilities, and what TRL makes of its entropy is not kept.
        """
        inputs, keep, distillation = this.inputs, this.keep, self._distillation
        rows = student_rows(inputs).select(keep)
        distil: dict[str, Any] = {}
        if this.states is not None:
            distil["teachers"] = this.states
            distil["distill"] = distillation.distill(inputs, keep, rows)
            distil["coefficient"] = distillation.coefficient(inputs, keep, rows)
        policy = self.method.policy_gradient
        scores = student_scores(model, rows, self.temperature, policy=policy, group=self._group, **distil)
        self._scores = scores
        if this.states is not None:
            inputs["distilled"] = scores.loss
            distillation.log(inputs, keep, rows, scores)
        index_K, mask_BT = torch.tensor(keep, device=rows.completion_BT.device), inputs["completion_mask"]
        old_BT = inputs.get("old_per_token_logps")
        rest_BT = torch.zeros(mask_BT.shape, device=mask_BT.device) if old_BT is None else old_BT
        logp_BT = rest_BT.index_copy(0, index_K, scores.logp_BT)
        entropy_BT = scores.entropy_BT.new_zeros(mask_BT.shape).index_copy(0, index_K, scores.entropy_BT)
        # Of a micro-batch without any, one row is here.
        gradient_B1 = has_gradient(inputs, self.method, self.kl)[:, None]
        # The mean over all completion tokens: of the rows that are forwarded here, and of the rest.
        entropy = (entropy_BT * gradient_B1).sum() + inputs["rest/entropy"].sum()
        self.log_mean("entropy", entropy, inputs["num_items_in_batch"])
        if "asked" in inputs:
            self.credits.of_part(inputs, logp_BT.detach())
        if self._corrects_in_update:
            self._correct(inputs, index_K, logp_BT.detach(), gradient_B1)
        return logp_BT, entropy_BT

    def _correct(self, inputs: dict[str, Any], index_K: Tensor, policy_BT: Tensor, gradient_B1: Tensor) -> None:
        """Importance ratios of the rows that are forwarded here; after the last of them, and before the step is taken,
        raises UserError where vLLM was too far off."""
        mask_BT = torch.zeros_like(inputs["completion_mask"])
        mask_BT[index_K] = inputs["completion_mask"][index_K]
        t = self.args
        how = t.vllm_importance_sampling_mode, t.vllm_importance_sampling_clip_min, t.vllm_importance_sampling_clip_max
        sampled_BT = inputs["sampling_per_token_logps"]
        inputs["importance_sampling_ratio"] = sampling_ratio(policy_BT, sampled_BT, mask_BT, *how)
        apart_BT = distances(inputs, list(range(len(policy_BT))), policy_BT) * gradient_B1
        apart = apart_BT.sum() + inputs["rest/apart"].sum()
        self.log_mean("sampling_difference", apart, inputs["num_items_in_batch"])
        if len(seen := self._metrics["train"][OWN + "sampling_difference"]) == t.steps_per_generation:
            require_close(seen, self.step_of_ours, self._max_difference)

    @property
    def _corrects_in_update(self) -> bool:
        """Where one update follows the rollouts, its own pass says how far vLLM's log-probabilities were off."""
        return bool(self.use_vllm and self._correction and self.updates == 1)

    # --- what credit and divergence need ----------------------------------------------------------------------

    @property
    def step_of_ours(self) -> int:
        return self.state.global_step // self.updates + 1

    def require_finite(self, phase: Phase, what: str, value: Tensor, first: int | list[int] | None = None) -> None:
        """Raises NotFinite with the step. `first`: the number in it of the first row of `value`, or each row's."""
        rollouts = range(first, first + len(value)) if isinstance(first, int) else first or []
        require_finite(self.step_of_ours, phase, what, value, rollouts)

    def gathered(self, value: Tensor) -> Tensor:
        """(B,) or (B, T) of all processes, padded to the longest completion with 0."""
        if self.accelerator.num_processes == 1:
            return value
        padded = self.accelerator.pad_across_processes(value, dim=min(1, value.dim() - 1))
        return self.accelerator.gather(padded)  # type: ignore[no-any-return]

    def log_mean(self, name: str, value_BT: Tensor, items: Tensor) -> None:
        """A micro-batch's part of the mean over all `items` tokens of the generation, whatever its share of them.

        What is logged is averaged over the micro-batches, hence their number as a factor.
        """
        total = self.accelerator.reduce(value_BT.sum(), reduction="sum")
        self.log_value(name, (total * self.args.steps_per_generation / items.clamp(min=1)).item())

    def log_value(self, name: str, value: float) -> None:
        # TRL's own _log_metric is flushed before the rollouts of this step are scored: it would come a step late.
        self._metrics["train" if self.model.training else "eval"][OWN + name].append(value)
