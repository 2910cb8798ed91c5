"""lm-eval's `hf-multimodal`, and for text models its `hf`, with a generation loop in which no reply depends on the
others of its batch."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lm_eval.models.hf_vlms import HFMultimodalLM
from lm_eval.models.huggingface import HFLM
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from eval.core.errors import UserError
from eval.engines.decoding.decode_step import has_known_decoder
from eval.engines.decoding.stepped import stepped
from eval.engines.requests import Question, Reply, longest_first, picture_limits, prompt_lengths, reply_seed, vision_ids
from eval.settings import EvalSettings


class PresencePenalty(LogitsProcessor):
    """Subtracts a constant from the logit of every token that the reply already holds, as vLLM does."""

    def __init__(self, penalty: float, prompt_length: int) -> None:
        self.penalty, self.prompt_length = penalty, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        seen_BV = torch.zeros_like(scores, dtype=torch.bool)
        seen_BV.scatter_(1, input_ids[:, self.prompt_length :], True)
        return scores - self.penalty * seen_BV


class Draw(LogitsProcessor):
    """Draws a token of each row from the row's own random stream. `generate` itself draws all rows from one.

    One uniform number a row and step, through the inverse of the cumulative distribution: the token is the first
    whose cumulative probability exceeds it.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.streams = [random.Random(seed) for seed in seeds]

    def tokens(self, scores_LV: torch.Tensor, rows_L: torch.Tensor) -> torch.Tensor:
        """(L,) for these rows of the batch."""
        # In double precision: single would round the tail of a large vocabulary away.
        cumulative_LV = scores_LV.double().softmax(-1).cumsum(-1)
        uniform_L1 = cumulative_LV.new_tensor([[self.streams[row].random()] for row in rows_L.tolist()])
        return torch.searchsorted(cumulative_LV, uniform_L1 * cumulative_LV[:, -1:], right=True)[:, 0]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Leaves of each row only its token, so that greedy decoding samples."""
        drawn_B = self.tokens(scores, torch.arange(len(scores)))
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn_B[:, None], 0.0)


class Answering:
    """What both kinds of model have in common, beside lm-eval's class of the kind."""

    processor: Any  # of a text model its tokenizer
    model: Any
    tokenizer: Any
    config: Any
    device: Any
    max_length: int
    _encode: Any

    def __init__(self, model: str, settings: EvalSettings) -> None:
        device = settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        super().__init__(model, dtype="auto", device=device, batch_size=settings.batch_size)  # type: ignore[call-arg]
        self.settings = settings
        eos = self.model.generation_config.eos_token_id
        eos = self.tokenizer.eos_token_id if eos is None else eos
        self.eos = set(eos) if isinstance(eos, list) else {eos}
        self.banned = [i for i in vision_ids(self.config) if i not in self.eos]
        self.stepped = has_known_decoder(self.model, "sdpa")
        self.pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else min(self.eos)

    def applied(self) -> dict[str, Any]:
        """The sampling that this engine really does."""
        s = self.settings
        greedy = s.temperature == 0
        return {
            "engine": "transformers",
            "decoding": "stepped" if self.stepped else "generate",
            "do_sample": not greedy,
            "temperature": s.temperature,
            "top_p": None if greedy else s.top_p,
            "top_k": None if greedy else s.top_k,
            "presence_penalty": s.presence_penalty,
            "max_new_tokens": s.max_new_tokens,
            "seed": s.seed,
            "max_pixels": s.max_pixels,
            "processor": picture_limits(getattr(self.processor, "image_processor", None)),
            "device": str(self.device),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "context": self.max_length,
            "eos_token_ids": sorted(self.eos),
            "banned_token_ids": self.banned,
            **self.settings.spoken,
        }

    def answers(self, questions: Sequence[Question]) -> Iterator[list[tuple[Question, Reply]]]:
        """Asks all questions, long prompts first, and yields batch after batch."""
        lengths = prompt_lengths(questions, self.processor, self.settings.max_pixels)
        for batch in longest_first(lengths, self.settings.batch_size):
            asked = [questions[i] for i in batch]
            yield list(zip(asked, self._generate(asked), strict=True))

    def _generate(self, questions: list[Question]) -> list[Reply]:
        inputs = self._encode(questions)
        lengths = inputs["attention_mask"].sum(1).tolist()
        if max(lengths) >= self.max_length:
            kept = [question for question, n in zip(questions, lengths, strict=True) if n < self.max_length]
            rest = iter(self._generate(kept) if kept else [])
            return [next(rest) if n < self.max_length else Reply("", 0, "overflow") for n in lengths]
        # A row may fill the context from its own prompt on; its neighbours' longer ones do not cut it short.
        limits = [min(self.settings.max_new_tokens, self.max_length - n) for n in lengths]
        padded = inputs["input_ids"].shape[1]
        config, processors, draw = self._sampling(questions, padded, max(limits))
        loop: dict[str, Any] = {}
        if self.stepped:
            loop = {"custom_generate": stepped, "draw": draw and draw.tokens}
        elif draw:
            processors.append(draw)
        try:
            with torch.inference_mode():
                ids_BT = self.model.generate(**inputs, generation_config=config, logits_processor=processors, **loop)
        except FloatingPointError:
            raise UserError("the model's logits are NaN or infinite: evaluate an earlier checkpoint") from None
        rows = ids_BT[:, padded:].tolist()
        return [self._reply(ids[:limit]) for ids, limit in zip(rows, limits, strict=True)]

    def _sampling(
        self, questions: list[Question], padded: int, max_new_tokens: int
    ) -> tuple[GenerationConfig, LogitsProcessorList, Draw | None]:
        """Penalty, temperature, top-k, top-p and the draw, in the order of `generate` itself."""
        s = self.settings
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=max_new_tokens,
            eos_token_id=sorted(self.eos),
            pad_token_id=self.pad,
            suppress_tokens=self.banned or None,
            repetition_penalty=1.0,
            do_sample=False,
        )
        processors = LogitsProcessorList([PresencePenalty(s.presence_penalty, padded)] if s.presence_penalty else [])
        if s.temperature > 0:
            processors += [
                TemperatureLogitsWarper(s.temperature),
                *([TopKLogitsWarper(s.top_k)] if s.top_k else []),
                *([TopPLogitsWarper(s.top_p)] if s.top_p < 1 else []),
            ]
        seeds = [reply_seed(s.seed, question.row, question.sample) for question in questions]
        return config, processors, Draw(seeds) if s.temperature > 0 else None

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


class TransformersEngine(Answering, HFMultimodalLM):
    """One loaded model that sees pictures."""

    chat_applied = True  # prompts come rendered

    def _encode(self, questions: list[Question]) -> Any:
        prompts = [question.prompt for question in questions]
        images = [question.opened(self.settings.max_pixels) for question in questions]
        if any(images):
            return self.tok_batch_multimodal_encode(prompts, images)
        # Qwen's processor fails on lists that are all empty.
        return self.processor(text=prompts, padding="longest", padding_side="left", return_tensors="pt").to(self.device)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Of lm-eval's own tasks."""
        return _class_for(requests).generate_until(self, requests, disable_tqdm)  # type: ignore[no-any-return]

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        return _class_for(requests).loglikelihood(self, requests, disable_tqdm)  # type: ignore[no-any-return]


def _class_for(requests: list[Any]) -> Any:
    """lm-eval's class for pictures takes no other requests than such as show some."""
    return HFMultimodalLM if any(len(request.args) > 2 for request in requests) else HFLM


class TextEngine(Answering, HFLM):
    """One loaded model that reads text alone."""

    @property
    def processor(self) -> Any:  # type: ignore[override]
        return self.tokenizer

    def _encode(self, questions: list[Question]) -> Any:
        prompts = [question.prompt for question in questions]
        # As in training: the chat template has written all special tokens.
        words = self.tokenizer(
            prompts, padding="longest", padding_side="left", add_special_tokens=False, return_tensors="pt"
        )
        return words.to(self.device)
