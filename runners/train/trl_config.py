"""The settings of a run as TRL's: every option that matters, written out, for its defaults differ from the paper's."""

import os
from collections.abc import Callable

import torch
from trl import GRPOConfig

from runners.data.rewards import accuracy, formatted
from runners.run.config import Settings, TrainSettings
from runners.run.run_dir import RunDir
from runners.train.distill import LOSSES

# Each reward by its functions and their weights; the first is the accuracy.
Reward = Callable[..., list[float]]
REWARDS: dict[str, dict[Reward, float]] = {"accuracy": {accuracy: 1.0}, "shaped": {accuracy: 0.9, formatted: 0.1}}


TEMPLATE_TOKENS = 128  # of a chat template's own words, at most: they are not counted in a prompt's limit


def template_room(settings: Settings) -> int:
    """Tokens by which a prompt may exceed its limit."""
    return TEMPLATE_TOKENS + len((settings.model.system or "").encode())


def trl_config(settings: Settings, run: RunDir, banned: list[int]) -> GRPOConfig:
    """Every TRL option that matters, written out: its defaults differ from the paper's."""
    t: TrainSettings = settings.train
    batches = t.prompts * t.generations // (t.processes * t.device_batch)  # per device and generation
    if not torch.cuda.is_available():  # else each of several processes calls its CPU by a number, and cannot resume
        os.environ.setdefault("ACCELERATE_TORCH_DEVICE", "cpu")
    banned_for_vllm = {"logit_bias": dict.fromkeys(banned, -100.0)}
    return GRPOConfig(
        output_dir=str(run.checkpoints),
        per_device_train_batch_size=t.device_batch,
        gradient_accumulation_steps=batches // t.updates,
        steps_per_generation=batches,
        num_generations=t.generations,
        num_iterations=1,
        max_steps=t.steps * t.updates,
        learning_rate=t.learning_rate,
        lr_scheduler_type=t.schedule,
        warmup_steps=0,
        weight_decay=t.weight_decay,
        adam_beta1=t.adam_betas[0],
        adam_beta2=t.adam_betas[1],
        max_grad_norm=t.max_grad_norm,
        beta=t.kl,
        epsilon=t.epsilon,
        epsilon_high=t.epsilon_high,
        delta=t.dual_clip,
        loss_type=LOSSES[t.aggregation],
        scale_rewards=t.scale_rewards,
        temperature=t.temperature,
        top_p=t.top_p,
        top_k=t.top_k,
        max_completion_length=t.max_completion_tokens,
        mask_truncated_completions=False,
        generation_kwargs=banned_for_vllm if t.vllm else {"suppress_tokens": banned},
        shuffle_dataset=False,
        use_vllm=t.vllm,
        vllm_mode="colocate",
        vllm_gpu_memory_utilization=t.vllm_memory,
        vllm_enable_sleep_mode=t.vllm_sleep,
        vllm_tensor_parallel_size=t.vllm_tensor_parallel,
        # Or it reserves a cache for 262,144.
        vllm_max_model_length=t.max_prompt_tokens + t.max_completion_tokens + template_room(settings),
        chat_template_kwargs=settings.model.template_options or None,
        gradient_checkpointing=t.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        ddp_find_unused_parameters=False,  # but where some rows show pictures and some none
        # Or else each process would hold the whole gradient until the last micro-batch.
        accelerator_config={"gradient_accumulation_kwargs": {"sync_each_batch": t.shards > 1}},
        reward_weights=list(REWARDS[t.reward].values()),
        bf16=settings.model.dtype == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        seed=settings.seed,
        logging_steps=t.updates,
        logging_nan_inf_filter=False,  # it would show a loss that is not finite as the mean of the others
        save_steps=t.checkpoint_every * t.updates,
        save_total_limit=2,
        report_to=list(t.report_to),
        remove_unused_columns=False,
        log_completions=False,
        log_multimodal=False,  # it would gather the pictures of all processes, and wait for one that shows none
        disable_tqdm=True,
    )
