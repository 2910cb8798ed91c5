"""vLLM's own engine, on its CPU build: the replies of transformers, and rollouts by one engine for all methods, each of
which pushes its weights into it. One file, for one worker to import it: ten seconds."""

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from trl.generation import vllm_generation

from eval.core.errors import UserError
from eval.engines.hf import TransformersEngine
from eval.engines.load import kept_random_state, loaded_engine
from eval.engines.requests import Question
from eval.pipeline import evaluate as run
from eval.settings import Chat, EvalSettings
from methods import SELF_CONTAINED
from runners.rollout import vllm as rollouts
from runners.rollout.vllm import read_as_trained
from runners.run.config import Settings
from runners.train import run as train
from tests.e2e.test_eval import BASE, samples, settings
from tests.support.helpers import history_of, lottery, small

ROUNDING = 2e-5  # nats a token, float32 in two engines
PICTURE_TOKENS = 4  # of 16 that a picture has without the limit
VLLM = ("train.vllm=true", "train.steps=2", "model.max_pixels=1024")
SHOWN = "<|vision_start|><|image_pad|><|vision_end|>"


@pytest.fixture(autouse=True)
def _smaller_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the room for keys, which is filled with zeros, and none of the dozen collections that each engine asks for,
    of everything that is imported: a fifth of what this file takes."""
    monkeypatch.setattr(gc, "collect", lambda generation=2: 0)
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")


@pytest.mark.slow
def test_both_engines_give_the_same_greedy_replies(
    local_rows: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = local_rows(9)
    for i, size in enumerate([(900, 600), (5, 7)]):  # above and below what the processor shows
        Image.new("RGB", size, "red").save(tmp_path / "pictures" / f"{i}.png")
    endless = json.loads(file.read_text().splitlines()[0])
    endless |= {"question_id": "99_1", "question_text": "How many? " * 3000}
    file.write_text(f"{file.read_text()}\n{json.dumps(endless)}")
    ours_told: dict[int, int] = {}  # tokens of each row's prompt, pictures and all
    theirs_told: list[int] = []
    encode = TransformersEngine._encode

    def encoded(engine: TransformersEngine, questions: list[Question]) -> Any:
        inputs = encode(engine, questions)
        counts = inputs["attention_mask"].sum(1).tolist()
        ours_told.update(zip((question.row for question in questions), counts, strict=True))
        return inputs

    monkeypatch.setattr(TransformersEngine, "_encode", encoded)
    from eval.engines import vllm as engine_vllm

    reply = engine_vllm._reply

    def told(output: Any) -> Any:
        theirs_told.append(len(output.prompt_token_ids))
        return reply(output)

    monkeypatch.setattr(engine_vllm, "_reply", told)
    both_times: dict[str, Any] = {"data": str(file), "benches": ("zerobench",), "chat": Chat(system="Be brief.")}
    asked = settings(**both_times, limit=None, temperature=0, max_pixels=2048)
    sampled = settings(**both_times, limit=3, engine="vllm", presence_penalty=1.5)
    both = {}

    def greedy(name: str) -> None:
        result = run.evaluate(BASE, asked.model_copy(update={"engine": name}), tmp_path / name)["zerobench"]
        both[name] = samples(tmp_path / name / "zerobench")
        assert result["generation"]["engine"] == name
        assert result["generation"]["chat"] == result["identity"]["chat"] == {"system": "Be brief."}
        assert len(result["generation"]["banned_token_ids"]) == 4
        assert both[name][-1]["finish"] == "overflow"  # its prompt is longer than the model's context

    greedy("transformers")
    with loaded_engine(BASE, sampled, 1) as engine, monkeypatch.context() as patch:  # one for both, it takes long

        def kept(_: str, wanted: EvalSettings, most: int) -> Any:
            engine.settings = wanted
            return nullcontext(engine)

        patch.setattr(run, "loaded_engine", kept)
        greedy("vllm")
        read = sorted(theirs_told)
        run.evaluate(BASE, sampled, tmp_path / "first")
    assert read == sorted(ours_told[row] for row in range(9))
    assert len(set(read)) > 2
    for ours, theirs in zip(both["transformers"], both["vllm"], strict=True):
        assert ours["prompt_hash"] == theirs["prompt_hash"]
    same = sum(ours["reply"] == theirs["reply"] for ours, theirs in zip(*both.values(), strict=True))
    assert same >= 9  # a tie of two logits may fall the other way once
    run.evaluate(BASE, sampled, tmp_path / "second")
    first, second = (
        [(row["reply"], row["tokens"], row["finish"]) for row in samples(tmp_path / name / "zerobench")]
        for name in ("first", "second")
    )
    assert first == second


class Shared:
    """vllm.LLM for all trainers: the first one's, handed on as it was. `asked`: what each of them wanted."""

    def __init__(self) -> None:
        self.llm: Any = None
        self.asked: list[dict[str, Any]] = []

    def __call__(self, **wanted: Any) -> Any:
        self.asked.append(wanted)
        if self.llm is None:
            from vllm import LLM

            self.llm = LLM(**wanted)
        for name in ("generate", "reset_prefix_cache"):
            vars(self.llm).pop(name, None)
        return self.llm


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    """TRL's engine, which the other tests' TRL does without. The CPU build packs a layer's weights at the start and
    drops them; here they stay where they are, so that TRL's own push of weights finds them."""
    import vllm
    from vllm.distributed import cleanup_dist_env_and_memory
    from vllm.model_executor.layers import utils
    from vllm.sampling_params import StructuredOutputsParams

    shared = Shared()
    names = {"is_vllm_available": lambda: True, "LLM": shared, "SamplingParams": vllm.SamplingParams}
    with pytest.MonkeyPatch.context() as patch, kept_random_state():
        patch.setenv("VLLM_LOGGING_LEVEL", "ERROR")
        for name, value in {**names, "StructuredOutputsParams": StructuredOutputsParams}.items():
            patch.setattr(vllm_generation, name, value, raising=False)
        patch.setattr(utils, "dispatch_cpu_unquantized_gemm", _unpacked)
        yield shared
        if shared.llm is not None:
            shared.llm.llm_engine.engine_core.shutdown()
        cleanup_dist_env_and_memory()


def _unpacked(layer: torch.nn.Module, remove_weight: bool) -> None:
    layer.cpu_linear = torch.nn.functional.linear


@pytest.fixture(autouse=True)
def _lively_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train.REWARDS, "accuracy", {lottery: 1.0})


def with_vllm(method: str, *overrides: str) -> Settings:
    return small(method, *VLLM, *overrides)


@pytest.mark.slow
@pytest.mark.parametrize("method", SELF_CONTAINED)
def test_every_method_trains_on_them(
    shared: Shared, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[list[int], list[int], int | None]] = []
    monkeypatch.setattr(rollouts, "_require_same", lambda *ids: read.append(ids))
    rows = history_of(tmp_path, with_vllm(method))
    assert len(rows) == 2 and all(row["grad_norm"] > 0 for row in rows)
    # In the second step too, after an update: what was pushed are the weights that have changed.
    assert [row["bench/sampling_difference"] for row in rows] == pytest.approx([0, 0], abs=ROUNDING)
    assert len(read) == 4, "two groups a step, each one request"
    for given, seen, image in read:
        assert given == seen
        assert image is not None and given.count(image) == PICTURE_TOKENS
    asked = shared.asked[-1]
    assert (asked["dtype"], asked["mm_processor_kwargs"]) == ("float32", {"max_pixels": 1024})
    assert asked["gpu_memory_utilization"] == 0.3 and not asked["enable_sleep_mode"]


@pytest.mark.slow
def test_a_run_s_seed_is_the_engine_s(shared: Shared, tmp_path: Path) -> None:
    for seed in (0, 7):
        settings = with_vllm("grpo", "train.steps=1").model_copy(update={"seed": seed})
        history_of(tmp_path / str(seed), settings)
        assert shared.asked[-1]["seed"] == seed


@pytest.mark.slow
def test_an_engine_with_other_weights_ends_the_run(
    shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = vllm_generation.VLLMGeneration.sync_weights
    pushed: list[int] = []

    def once(generation: Any) -> None:
        if not pushed:
            pushed.append(1)
            push(generation)

    monkeypatch.setattr(vllm_generation.VLLMGeneration, "sync_weights", once)
    with pytest.raises(UserError, match=r"^step 2: vLLM's log-probabilities are .* train.vllm_max_difference=0.01"):
        history_of(tmp_path, with_vllm("grpo", "train.vllm_max_difference=0.01", "train.learning_rate=0.02"))


@pytest.mark.slow
def test_both_faults_of_pictures_are_found(shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens that vLLM expands once more, and pictures of another size than the trainer's."""
    more = r"^vLLM reads another prompt than is trained on \(.* {} of them of pictures; in training .* {} of them"
    with monkeypatch.context() as patch:
        patch.setattr(rollouts, "_one_token_a_picture", lambda prompt, _: prompt)
        with pytest.raises(UserError, match=more.format(7, 4)):
            history_of(tmp_path / "twice", with_vllm("grpo"))
    with pytest.raises(UserError, match=more.format(4, 16)):  # the engine is the one with the limit
        history_of(tmp_path / "other", small("grpo", "train.vllm=true", "train.steps=2"))


@pytest.mark.slow
def test_equal_prompts_in_a_row_are_one_request(shared: Shared, tmp_path: Path) -> None:
    from vllm import SamplingParams

    if shared.llm is None:
        history_of(tmp_path, with_vllm("grpo", "train.steps=1"))
    llm, asked = shared.llm, list[tuple[int, int]]()
    vars(llm).pop("generate", None)
    generate = llm.generate

    def seen(prompts: list[Any], sampling_params: Any, **kwargs: Any) -> list[Any]:
        several = sampling_params if isinstance(sampling_params, list) else [sampling_params] * len(prompts)
        asked.extend((len(prompt["prompt_token_ids"]), p.n) for prompt, p in zip(prompts, several, strict=True))
        out: list[Any] = generate(prompts, sampling_params=sampling_params, **kwargs)
        return out

    image, tokenizer = llm.llm_engine.model_config.hf_config.image_token_id, llm.get_tokenizer()
    reading = SimpleNamespace(generate=seen, reset_prefix_cache=llm.reset_prefix_cache)
    read_as_trained(reading, image, True)

    def prompt(words: str, color: str | None) -> dict[str, Any]:
        ids = tokenizer(words)["input_ids"]
        if color is None:
            return {"prompt_token_ids": ids}
        written_out = [token for i in ids for token in [i] * (PICTURE_TOKENS if i == image else 1)]
        return {"prompt_token_ids": written_out, "multi_modal_data": {"image": Image.new("RGB", (64, 64), color)}}

    rows = [prompt(f"{SHOWN}How many?", "red") for _ in range(3)] + [prompt(f"{SHOWN}How many?", "blue")]
    rows += [prompt("Count to ten.", None) for _ in range(2)] + [prompt(f"{SHOWN}How many?", "red")]
    common = {"max_tokens": 12, "logprobs": 0, "ignore_eos": True}
    outputs = reading.generate(rows, sampling_params=SamplingParams(temperature=1.0, **common), use_tqdm=False)
    # Of a picture's tokens a request holds one.
    lengths = [len(row["prompt_token_ids"]) - (PICTURE_TOKENS - 1) * ("multi_modal_data" in row) for row in rows]
    assert asked == [(lengths[0], 3), (lengths[3], 1), (lengths[4], 2), (lengths[6], 1)]
    assert [o.prompt_token_ids for o in outputs] == [row["prompt_token_ids"] for row in rows]
    assert all(len(o.outputs) == 1 and len(o.outputs[0].token_ids) == 12 for o in outputs)
    assert all(len(o.outputs[0].logprobs) == 12 for o in outputs)
    assert len({tuple(o.outputs[0].token_ids) for o in outputs[:3]}) == 3, "rollouts of one prompt differ"
    asked.clear()
    greedy = SamplingParams(temperature=0.0, **common)
    alone = [reading.generate([row], sampling_params=greedy, use_tqdm=False)[0].outputs[0].token_ids for row in rows]
    together = reading.generate(rows, sampling_params=greedy, use_tqdm=False)
    assert [o.outputs[0].token_ids for o in together] == alone
    assert [n for _, n in asked] == [1] * 14
