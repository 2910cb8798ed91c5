"""The one place of the benchmark that gets at stock TRL, private names included: read in TRL 1.16.0."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from trl import GRPOTrainer
from trl.experimental.sdpo.loss_utils import compute_divergence
from trl.experimental.sdpo.sdpo_trainer import SDPOTrainer
from trl.kernels.chunked_divergence import ChunkedDivergenceFunction
from trl.trainer.utils import add_fused_lm_head

from methods import Method, Rollouts
from runners.forward.batch import Rows
from runners.train.contexts import context_rows, contexts_of, inputs_of, prompts_of, turn
from runners.train.trl_batch import student_rows


def prepare(model: nn.Module) -> None:
    """As TRL's trainer prepares a model whose log-probabilities and entropies it asks for."""
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))


def log_probs(model: nn.Module, rows: Rows) -> Tensor:
    """(B, T), by TRL's unmodified method, entropies included."""
    score = GRPOTrainer._get_per_token_logps_and_entropies.__wrapped__  # but for its profiler
    trainer = SimpleNamespace(accelerator=SimpleNamespace(autocast=nullcontext))
    positional, named = _asked(rows)
    logp_BT: Tensor = score(trainer, model, *positional, compute_entropy=True, **named)[0]
    return logp_BT


def _asked(rows: Rows) -> tuple[tuple[Tensor, Tensor, int], dict[str, Any]]:
    """The rows as that method takes them."""
    inputs = rows.model_inputs()
    images = {"num_images": rows.images_B} if rows.pictures else {}
    positional = (inputs.pop("input_ids"), inputs.pop("attention_mask"), rows.completion_BT.shape[1])
    return positional, {**images, **inputs}


def chunked_divergence(
    hidden_ND: Tensor, weight_VD: Tensor, teacher_ND: Tensor, teacher_VD: Tensor, beta: float
) -> Tensor:
    """(N,), by TRL's kernel."""
    out: Tensor = ChunkedDivergenceFunction.apply(hidden_ND, weight_VD, None, teacher_ND, teacher_VD, None, beta)[0]
    return out


def kept_divergence(
    hidden_ND: Tensor, weight_VD: Tensor, teacher_ND: Tensor, teacher_VD: Tensor, beta: float
) -> Tensor:
    """(N,), by TRL's plain formula on logits that are kept."""
    student_NV, teacher_NV = log_softmax(hidden_ND @ weight_VD.T, -1), log_softmax(teacher_ND @ teacher_VD.T, -1)
    out: Tensor = compute_divergence(student_NV, teacher_NV, beta)
    return out


def sdpo_loss(model: nn.Module, rows: Rows, told: Rows) -> Callable[[], Tensor]:
    """The loss of TRL's SDPOTrainer on text, which is all that it takes: JSD over the vocabulary, the teacher the model
    itself with the prompts of `told`."""
    trainer: Any = object.__new__(SDPOTrainer)  # with what its loss reads, and no more
    trainer.args = SimpleNamespace(
        distillation_mode="full_logits", distillation_alpha=0.5, distillation_is_clip=None, teacher_model_kind="live"
    )
    trainer.model, trainer.temperature, trainer.model_kwarg_keys = nn.Identity(), 1.0, {"logits_to_keep"}
    trainer.accelerator = SimpleNamespace(gather=lambda x: x, autocast=nullcontext)
    trainer._log_self_distillation_metric = lambda mode, value: None
    inputs = {
        "prompt_ids": rows.prompt_BP, "prompt_mask": rows.prompt_mask_BP,
        "completion_ids": rows.completion_BT, "completion_mask": rows.completion_mask_BT,
        "teacher_input_ids": torch.cat([told.prompt_BP, rows.completion_BT], 1),
        "teacher_attention_mask": torch.cat([told.prompt_mask_BP, rows.completion_mask_BT], 1),
    }  # fmt: skip

    def loss() -> Tensor:
        logits = trainer._compute_teacher_student_logits(model, model, inputs)
        found: Tensor = trainer._compute_self_distillation_loss(model, inputs, logits)
        return found

    return loss


class NaiveRLSD(GRPOTrainer):  # type: ignore[misc]
    """RLSD as one would add it to stock TRL: scores every rollout with the teacher and once more with the student, row
    by row, by TRL's own method. The teacher is the policy itself, whose weights are the same while nothing is learnt.
    """

    def __init__(self, *args: Any, method: Method, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.method = method

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        asked = [{**e, "prompt": turn(e, e["prompt"][-1]["content"], len(e["images"]))} for e in inputs]
        batch: dict[str, Any] = super()._generate_and_score_completions(asked)
        told, (name,) = contexts_of(self.method, inputs, [], 0, self.num_generations), self.method.teachers
        ids, _, types = self._tokenize_prompts(prompts_of(name, inputs, told))
        read = inputs_of(name, told, ids, types, None, self._tokenizer.pad_token_id, self.accelerator.device)
        both = [self._scored(rows) for rows in (student_rows(batch), context_rows(batch | read, name))]
        advantages_B, mask_BT, step = batch["advantages"], batch["completion_mask"], self.state.global_step + 1
        rollouts = Rollouts(step, advantages_B, advantages_B, mask_BT, both[0], {name: both[1]})
        batch["advantages"] = self.method.credit(rollouts).advantages
        return batch

    @torch.no_grad()
    def _scored(self, rows: Rows) -> Tensor:
        positional, named = _asked(rows)
        named["batch_size"] = self.args.per_device_train_batch_size
        logp_BT: Tensor = self._get_per_token_logps_and_entropies(self.model, *positional, **named)[0]
        return logp_BT


@contextmanager
def sampling(trainer: GRPOTrainer, sample: Callable[..., Any]) -> Iterator[None]:
    """Inside, rollouts come from `sample(TRL's own way, its arguments ...)`: token ids, their log-probabilities."""
    whole = trainer._generate_single_turn
    trainer._generate_single_turn = lambda *args, **kwargs: sample(whole, *args, **kwargs)
    try:
        yield
    finally:
        del trainer._generate_single_turn


def watch(trainer: GRPOTrainer, around: Callable[[str, Callable[[], Any]], Any]) -> None:
    """From here on `around("rollout", call)` makes the call that samples, and `around("prepared", call)` the one around
    it, which makes a batch of what was sampled."""
    sample, prepare = trainer._generate_single_turn, trainer._generate_and_score_completions
    trainer._generate_single_turn = lambda *a, **k: around("rollout", lambda: sample(*a, **k))
    trainer._generate_and_score_completions = lambda *a, **k: around("prepared", lambda: prepare(*a, **k))
