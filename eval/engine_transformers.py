"""lm-eval's `hf-multimodal` with a generation loop that reports tokens and finish reasons and is reproducible."""

from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.hf_vlms import HFMultimodalLM
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from eval.engine import Reply, longest_first, progress, vision_ids
from eval.settings import EvalSettings


class PresencePenalty(LogitsProcessor):
    """Subtracts a constant from the logit of every token that the reply already holds, as vLLM does."""

    def __init__(self, penalty: float, prompt_length: int) -> None:
        self.penalty, self.prompt_length = penalty, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        seen_BV = torch.zeros_like(scores, dtype=torch.bool)
        seen_BV.scatter_(1, input_ids[:, self.prompt_length :], True)
        return scores - self.penalty * seen_BV


class TransformersEngine(HFMultimodalLM):
    """One loaded model. `replies` maps (task, document number) to what was generated."""

    def __init__(self, model: str, settings: EvalSettings) -> None:
        device = settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        super().__init__(model, dtype="auto", device=device, batch_size=settings.batch_size)
        self.settings = settings
        self.replies: dict[tuple[str, int], Reply] = {}
        eos = self.model.generation_config.eos_token_id
        eos = self.tokenizer.eos_token_id if eos is None else eos
        self.eos = set(eos) if isinstance(eos, list) else {eos}
        self.banned = [i for i in vision_ids(self.config) if i not in self.eos]
        self.pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else min(self.eos)

    def applied(self) -> dict[str, Any]:
        """The sampling that this engine really does."""
        s = self.settings
        greedy = s.temperature == 0
        return {
            "engine": "transformers",
            "do_sample": not greedy,
            "temperature": s.temperature,
            "top_p": None if greedy else s.top_p,
            "top_k": None if greedy else s.top_k,
            "presence_penalty": s.presence_penalty,
            "max_new_tokens": s.max_new_tokens,
            "seed": s.seed,
            "max_pixels": s.max_pixels,
            "batch_size": s.batch_size,
            "device": str(self.device),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "context": self.max_length,
            "eos_token_ids": sorted(self.eos),
            "banned_token_ids": self.banned,
        }

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        prompts = [request.args[0] for request in requests]
        replies: list[Reply] = [Reply("", 0, "overflow")] * len(requests)
        with progress(f"{requests[0].task_name}", len(requests)) as advance:
            for number, batch in enumerate(longest_first(prompts, self.settings.batch_size)):
                found = self._generate(
                    [prompts[i] for i in batch],
                    [requests[i].args[2]["visual"][0](self.settings.max_pixels) for i in batch],
                    seed=self.settings.seed * 1_000_003 + number,
                )
                for i, reply in zip(batch, found, strict=True):
                    replies[i] = reply
                    self.replies[requests[i].task_name, requests[i].doc_id] = reply
                advance(len(batch))
        return [reply.text for reply in replies]

    def _generate(self, prompts: list[str], images: list[list[Any]], seed: int) -> list[Reply]:
        inputs = self.tok_batch_multimodal_encode(prompts, images)
        fits = (inputs["attention_mask"].sum(1) < self.max_length).tolist()
        if not all(fits):
            kept = [i for i, fit in enumerate(fits) if fit]
            rest = iter(self._generate([prompts[i] for i in kept], [images[i] for i in kept], seed) if kept else [])
            return [next(rest) if fit else Reply("", 0, "overflow") for fit in fits]
        length = inputs["input_ids"].shape[1]
        config, processors = self._sampling(length)
        torch.manual_seed(seed)  # `evaluate` gives the caller's random state back
        with torch.inference_mode():
            ids_BT = self.model.generate(**inputs, generation_config=config, logits_processor=processors)
        return [self._reply(ids) for ids in ids_BT[:, length:].tolist()]

    def _sampling(self, length: int) -> tuple[GenerationConfig, LogitsProcessorList]:
        s = self.settings
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=min(s.max_new_tokens, self.max_length - length),
            eos_token_id=sorted(self.eos),
            pad_token_id=self.pad,
            suppress_tokens=self.banned or None,
            repetition_penalty=1.0,
            do_sample=s.temperature > 0,
            **({"temperature": s.temperature, "top_p": s.top_p, "top_k": s.top_k} if s.temperature > 0 else {}),
        )
        penalty = [PresencePenalty(s.presence_penalty, length)] if s.presence_penalty else []
        return config, LogitsProcessorList(penalty)

    def _reply(self, ids: Sequence[int]) -> Reply:
        """Tokens up to and with the first end token; the rest of the row is padding."""
        end = next((i for i, token in enumerate(ids) if token in self.eos), None)
        kept = list(ids) if end is None else list(ids[: end + 1])
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        return Reply(text, len(kept), "length" if end is None else "stop")

    def close(self) -> None:
        """Frees the model's memory."""
        self._model = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
