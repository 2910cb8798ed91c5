"""The settings of a run as TRL's: every option that matters, written out, for its defaults differ from the paper's."""

import os
from collections.abc import Callable

import torch
from trl import GRPOConfig

from runners.data.rewards import accuracy, formatted
from runners.run.config import Settings
from runners.run.run_dir import RunDir
from runners.train.distill import LOSSES

# Each reward by its functions and their weights; the first is the accuracy.
Reward = Callable[..., list[float]]
REWARDS: dict[str, dict[Reward, float]] = {"accuracy": {accuracy: 1.0}, "shaped": {accuracy: 0.9, formatted: 0.1}}


TEMPLATE_TOKENS = 128  # of a chat template's own words, at most: they are not counted in a prompt's limit
# What TRL calls as we do.
ALIKE = {"learning_rate", "weight_decay", "max_grad_norm", "epsilon", "epsilon_high", "scale_rewards", "temperature"}
ALIKE |= {"top_p", "top_k", "gradient_checkpointing"}


def trl_config(settings: Settings, run: RunDir, banned: list[int]) -> GRPOConfig:
    """Every TRL option that matters, written out: its defaults differ from the paper's."""
    t, system = settings.train, settings.model.system or ""
    batches = t.prompts * t.generations // (t.processes * t.device_batch)  # per device and generation
    if not torch.cuda.is_available():  # else each of several processes calls its CPU by a number, and cannot resume
        os.environ.setdefault("ACCELERATE_TORCH_DEVICE", "cpu")
    longest = t.max_prompt_tokens + t.max_completion_tokens + TEMPLATE_TOKENS + len(system.encode())
    banned_for_vllm = {"logit_bias": dict.fromkeys(banned, -100.0)}
    return GRPOConfig(
        **t.model_dump(include=ALIKE),
        output_dir=str(run.checkpoints),
        per_device_train_batch_size=t.device_batch,
        gradient_accumulation_steps=batches // t.updates,
        steps_per_generation=batches,
        num_generations=t.generations,
        num_iterations=1,
        max_steps=t.steps * t.updates,
        lr_scheduler_type=t.schedule,
        warmup_steps=0,
        adam_beta1=t.adam_betas[0],
        adam_beta2=t.adam_betas[1],
        beta=t.kl,
        delta=t.dual_clip,
        loss_type=LOSSES[t.aggregation],
        max_completion_length=t.max_completion_tokens,
        mask_truncated_completions=False,
        generation_kwargs=banned_for_vllm if t.vllm else {"suppress_tokens": banned},
        shuffle_dataset=False,
        use_vllm=t.vllm,
        vllm_mode="colocate",
        vllm_gpu_memory_utilization=t.vllm_memory,
        vllm_enable_sleep_mode=t.vllm_sleep,
        vllm_tensor_parallel_size=t.vllm_tensor_parallel,
        vllm_max_model_length=longest,  # or it reserves a cache for 262,144
        chat_template_kwargs=settings.model.template_options or None,
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
        save_total_limit=None,  # transformers goes by dates, and by any name that begins like a checkpoint's
        report_to=list(t.report_to),
        remove_unused_columns=False,
        log_completions=False,
        log_multimodal=False,  # it would gather the pictures of all processes, and wait for one that shows none
        disable_tqdm=True,
    )
