"""Rollouts with vLLM: TRL's engine with what TRL does not tell it, and requests that it reads as the trainer does."""

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any
from unittest.mock import patch

from trl.generation import vllm_generation

from eval.core.errors import UserError
from eval.engines.requests import CPU_ARGUMENTS, vllm_version
from runners.data.image_cache import content
from runners.run.config import Settings

LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE")


@contextmanager
def engine_of(settings: Settings) -> Iterator[None]:
    """Inside, TRL builds its engine for this run: it leaves out the pictures' limit and the dtype, and gives every run
    the same seed. No pass is tried with a video, which no row has."""
    model = settings.model
    ours: dict[str, Any] = {"dtype": model.dtype, "limit_mm_per_prompt": {"video": 0}}
    if model.max_pixels:
        ours["mm_processor_kwargs"] = {"max_pixels": model.max_pixels}
    if vllm_version().endswith("+cpu"):
        ours |= CPU_ARGUMENTS
    build, environment = vllm_generation.LLM, dict(os.environ)

    def engine(seed: int, **theirs: Any) -> Any:
        """`seed`: TRL's, the number of the processes that share an engine."""
        return build(seed=settings.seed * settings.train.processes + seed, **theirs, **ours)

    with patch.object(vllm_generation, "LLM", engine):
        yield
    for name in LAUNCHED:  # TRL tells vLLM so, and whoever asks later would take this process for a launched one
        os.environ.pop(name, None)
        os.environ |= {name: environment[name]} if name in environment else {}


def read_as_trained(llm: Any, image_token: int | None, together: bool) -> None:
    """Let `llm.generate` (vllm.LLM) take the trainer's own tokens, in which each picture's are written out already.

    vLLM writes a picture's tokens in the place of one `image_token`, so it is given one; and what it has read is
    compared with what it was given, at every call. Raises UserError where the two differ.

    together: n equal prompts in a row are one request for n rollouts. Their pictures are then preprocessed once and the
    prompt is read once, whatever vLLM's caches hold. The outputs are those of one request per prompt. Greedy decoding,
    of which vLLM takes no n, is left as it is.

    And let its `reset_prefix_cache`, which TRL calls when it has pushed weights, forget what older weights saw in
    pictures as well: a picture that comes again would be shown as they saw it.
    """
    generate, reset = llm.generate, llm.reset_prefix_cache

    def checked(prompts: list[dict[str, Any]], **kwargs: Any) -> list[Any]:
        out: list[Any] = generate([_one_token_a_picture(prompt, image_token) for prompt in prompts], **kwargs)
        for prompt, output in zip(prompts, out, strict=True):
            _require_same(list(prompt["prompt_token_ids"]), list(output.prompt_token_ids), image_token)
        return out

    def once(prompts: list[dict[str, Any]], sampling_params: Any, **kwargs: Any) -> list[Any]:
        if sampling_params.temperature == 0 or not together:
            return checked(prompts, sampling_params=sampling_params, **kwargs)
        groups = [list(group) for _, group in groupby(prompts, _known)]
        several = [copy.copy(sampling_params) for _ in groups]
        for parameters, group in zip(several, groups, strict=True):
            parameters.n = len(group)
        outputs = checked([group[0] for group in groups], sampling_params=several, **kwargs)
        return [_alone(output, one) for output in outputs for one in output.outputs]

    def forget() -> None:
        llm.llm_engine.reset_encoder_cache()
        reset()

    llm.generate, llm.reset_prefix_cache = once, forget


def _one_token_a_picture(prompt: dict[str, Any], image_token: int | None) -> dict[str, Any]:
    """Pictures whose tokens touch each other are one run of them: `_require_same` then finds too few."""
    if not _pictures(prompt):
        return prompt
    runs = groupby(prompt["prompt_token_ids"])
    ids = [token for value, run in runs for token in ([value] if value == image_token else run)]
    return {**prompt, "prompt_token_ids": ids}


def _require_same(given: Sequence[int], read: Sequence[int], image_token: int | None) -> None:
    if given == read:
        return
    words = [f"{len(ids)} tokens, {list(ids).count(image_token)} of them of pictures" for ids in (given, read)]  # type: ignore[arg-type]
    raise UserError(
        f"vLLM reads another prompt than is trained on ({words[1]}; in training {words[0]}): "
        "its processor of this model differs, so sample with --set train.vllm=false"
    )


def _pictures(prompt: dict[str, Any]) -> list[Any]:
    shown = prompt.get("multi_modal_data", {}).get("image", [])
    return shown if isinstance(shown, list) else [shown]


def _known(prompt: dict[str, Any]) -> tuple[Any, ...]:
    """What makes two requests one: their tokens and the contents of their pictures."""
    return tuple(prompt["prompt_token_ids"]), *map(content, _pictures(prompt))


def _alone(output: Any, one: Any) -> Any:
    """The output of a request that asked for this rollout only."""
    out = copy.copy(output)
    out.outputs = [one]
    return out
