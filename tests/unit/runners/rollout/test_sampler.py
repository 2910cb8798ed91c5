"""Shared rollouts against transformers' own `generate` and processor, on the embedded model."""

import copy
import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from torch import Tensor
from transformers import GenerationConfig
from trl.data_utils import apply_chat_template, prepare_multimodal_messages

from eval.engines.decoding.decode_step import ByGroup, ByRow
from runners.data.image_cache import pictures_once
from runners.data.prompts import messages
from runners.forward import packing
from runners.rollout import sampler as rollout
from runners.rollout.sampler import sample, share_prompts
from runners.run.config import ModelSettings
from runners.run.model import load

SETTINGS = ModelSettings(path="embedded", dtype="float32", attention="sdpa", max_pixels=64 * 64)
BANNED = [3, 4, 5, 6]
Prompt = tuple[str, tuple[tuple[int, int, int], ...]]  # text, and of each picture its seed, width and height

SHORT, LONG = "How many shapes are there?", "Which shape is left of the red one, and what is 3 plus 4?"
ONE, OTHER, WIDE = (1, 48, 48), (2, 48, 48), (3, 64, 32)
PROMPTS: dict[str, list[Prompt]] = {
    "groups": [(SHORT, (ONE,))] * 4 + [(SHORT, (OTHER,))] * 4,
    "ragged, several pictures": [(SHORT, (ONE,))] * 3 + [(LONG, (OTHER, WIDE, ONE))] * 3 + [(LONG, (WIDE,))],
    "text only": [(SHORT, ())] * 3 + [(LONG, ())] * 3,
    "mixed, rows apart": [(SHORT, ()), (SHORT, (ONE,)), (LONG, (WIDE, ONE)), (SHORT, (ONE,)), (SHORT, ())] * 2,
    "nothing shared": [(SHORT, (ONE,)), (LONG, (OTHER,)), (SHORT, ())],
}
SAMPLING: dict[str, dict[str, Any]] = {
    "sampled": {"top_k": 0, "temperature": 2.0},
    "cut": {"top_k": 9, "top_p": 0.8, "temperature": 1.4, "repetition_penalty": 1.1},
    "greedy": {"do_sample": False},
}


@pytest.fixture(scope="module", params=[ByRow, ByGroup])
def loaded(request: Any) -> tuple[Any, Any]:
    """Models of either way through the decoder: the second has the attention that can share prompts."""
    model, processor = load(SETTINGS)
    if request.param is ByGroup:
        packing.prepare(model)
    return model.eval(), processor


def picture(seed: int, width: int, height: int) -> Image.Image:
    return Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(3 * width * height))


def turns(prompts: list[Prompt]) -> list[Any]:
    """As TRL hands them to the processor: each with pictures of its own, decoded anew."""
    out = []
    for text, sizes in prompts:
        turn = messages(text, len(sizes))
        out.append(prepare_multimodal_messages(turn, [picture(*size) for size in sizes]) if sizes else turn)
    return out


def inputs(processor: Any, prompts: list[Prompt]) -> dict[str, Any]:
    return dict(
        processor.apply_chat_template(
            turns(prompts),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs={"padding": True, "padding_side": "left", "return_tensors": "pt"},
        )
    )


def config(**more: Any) -> GenerationConfig:
    fixed = {"max_new_tokens": 16, "do_sample": True, "eos_token_id": 2, "pad_token_id": 0, "suppress_tokens": BANNED}
    return GenerationConfig(**(fixed | more))


def tokens(model: Any, batch: dict[str, Any], settings: GenerationConfig, **more: Any) -> tuple[Tensor, Tensor]:
    """What is generated from one state of the random stream, and that stream's next number."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return model.generate(**batch, generation_config=settings, **more), torch.rand(1)


def assert_as_stock(model: Any, batch: dict[str, Any], settings: GenerationConfig) -> Tensor:
    ours, after = tokens(model, batch, settings, custom_generate=sample)
    stock, stock_after = tokens(model, batch, settings)
    assert torch.equal(ours, stock)
    assert torch.equal(after, stock_after)
    return ours[:, batch["input_ids"].shape[1] :]


# --- tokens ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", SAMPLING)
@pytest.mark.parametrize("prompts", PROMPTS)
def test_tokens_are_those_of_generate(loaded: Any, prompts: str, sampling: str) -> None:
    model, processor = loaded
    completion_BT = assert_as_stock(model, inputs(processor, PROMPTS[prompts]), config(**SAMPLING[sampling]))
    assert not torch.isin(completion_BT, torch.tensor(BANNED)).any()


def test_rows_that_end_at_different_places(loaded: Any) -> None:
    model, processor = loaded
    batch = inputs(processor, PROMPTS["groups"] * 2)
    settings = config(top_k=0, temperature=3.0, eos_token_id=[2, *range(20, 60)], max_new_tokens=40)
    with rows_forwarded(model) as widths:
        lengths = (assert_as_stock(model, batch, settings) != 0).sum(1)
    assert len(lengths.unique()) > 4
    ours = widths[: len(widths) - int(lengths.max())]  # the stock loop comes second, and keeps all rows
    assert ours[:2] == [(2, batch["input_ids"].shape[1] - 1), (16, 1)]  # two prompts, sixteen rows
    assert ours == [ours[0], *sorted(ours[1:], reverse=True)]
    assert ours[-1][0] < 16


def test_all_rows_end_at_once(loaded: Any) -> None:
    model, processor = loaded
    batch = inputs(processor, PROMPTS["groups"])
    every = [i for i in range(model.config.text_config.vocab_size) if i not in BANNED]
    assert assert_as_stock(model, batch, config(eos_token_id=every, pad_token_id=0)).shape == (8, 1)


def test_pictures_and_prompts_are_forwarded_once(loaded: Any, monkeypatch: Any) -> None:
    model, processor = loaded
    encoded = []
    encode = model.model.get_image_features
    monkeypatch.setattr(
        model.model, "get_image_features", lambda p, g, **kw: (encoded.append(len(g)), encode(p, g, **kw))[1]
    )
    tokens(model, inputs(processor, PROMPTS["groups"]), config(), custom_generate=sample)
    assert encoded == [2]  # of 8


@pytest.mark.parametrize("loaded", [ByGroup], indirect=True)
def test_through_lora(loaded: Any) -> None:
    model, processor = load(SETTINGS)
    packing.prepare(model)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
        wrapped = get_peft_model(model, lora).eval()
    assert isinstance(wrapped, PeftModel)
    batch = inputs(processor, PROMPTS["ragged, several pictures"])
    stock, _ = tokens(wrapped, batch, config())
    plain, _ = tokens(loaded[0], batch, config())
    assert stock.shape != plain.shape or not torch.equal(stock, plain)  # the adapter does something
    share_prompts(wrapped.get_base_model())
    with rows_forwarded(model) as widths:
        ours, _ = tokens(wrapped, batch, config())
    assert torch.equal(ours, stock)
    assert widths[0][0] == 3  # of 7: it was ours that ran


def way(model: Any, batch: dict[str, Any], monkeypatch: Any) -> type:
    """What gives the logits while `batch` is sampled."""
    ways = []
    decode = rollout.decode

    def noted(following: Any, *args: Any) -> int:
        ways.append(type(following))
        return decode(following, *args)

    with monkeypatch.context() as patch:
        patch.setattr(rollout, "decode", noted)
        tokens(model, batch, config(max_new_tokens=2), custom_generate=sample)
    return ways[0]


def test_which_way_a_token_goes(loaded: Any, request: Any, monkeypatch: Any) -> None:
    model, processor = loaded
    able = request.node.callspec.params["loaded"]
    assert [way(model, inputs(processor, PROMPTS[name]), monkeypatch) for name in PROMPTS] == [able] * len(PROMPTS)
    one_large = [(SHORT, (ONE,))] * 8 + [(LONG, ((seed, 48, 48),)) for seed in range(4)]
    assert way(model, inputs(processor, one_large), monkeypatch) is ByRow  # 5 groups of up to 8 for 12 rows


@pytest.mark.parametrize("kind", ["bfloat16", "autocast"])
@pytest.mark.parametrize("loaded", [ByGroup], indirect=True)
def test_in_16_bits_the_tokens_are_those_of_the_models_own_pass(loaded: Any, monkeypatch: Any, kind: str) -> None:
    model, processor = copy.deepcopy(loaded[0]), loaded[1]
    batch = inputs(processor, PROMPTS["text only"])
    if kind == "autocast":  # as accelerate puts it around a model; with a name by which it is known
        model._original_forward = model.forward
        model.forward = torch.autocast("cpu", torch.bfloat16)(model.forward)
        assert "_original_forward = model.forward" in inspect.getsource(Accelerator.prepare_model)
    else:
        model = model.bfloat16()
    assert way(model, batch, monkeypatch) is ByRow
    assert_as_stock(model, batch, config(top_k=0, temperature=2.0))


@pytest.mark.parametrize("kind", ["in step", "without cache"])
def test_transformers_own_loop_where_ours_does_not_fit(loaded: Any, monkeypatch: Any, kind: str) -> None:
    model, processor = loaded
    monkeypatch.setattr(rollout, "is_sharded", lambda _: kind == "in step")
    monkeypatch.setattr(rollout, "_in_step", lambda _: kind == "in step")
    monkeypatch.setattr(rollout, "decode", None)
    batch = inputs(processor, PROMPTS["mixed, rows apart"])
    monkeypatch.setattr(type(model), "_has_unfinished_sequences", lambda _, done, synced_gpus, device: not done)
    assert_as_stock(model, batch, config(use_cache=kind == "in step", max_new_tokens=8))


def test_a_missing_cache_is_an_error_and_not_a_wrong_sample(loaded: Any) -> None:
    model, processor = loaded
    batch = inputs(processor, PROMPTS["groups"])
    model.gradient_checkpointing_enable({"use_reentrant": False})
    try:
        assert_as_stock(model, batch, config(max_new_tokens=3))  # in eval mode checkpointing is off
        model.train()
        with pytest.raises(RuntimeError, match="gradient checkpointing"):
            tokens(model, batch, config(), custom_generate=sample)
    finally:
        model.gradient_checkpointing_disable()
        model.eval()


# --- pictures -------------------------------------------------------------------------------------------------


def both_calls(processor: Any, prompts: list[Prompt]) -> list[dict[str, Any]]:
    """TRL's two calls for one batch: for the rollouts, and for the training tensors."""
    asked = turns(prompts)
    first = processor.apply_chat_template(
        conversation=asked, add_generation_prompt=True, tokenize=True, return_dict=True
    )
    text = [apply_chat_template({"prompt": turn}, processor)["prompt"] for turn in asked]
    images = [[part["image"] for part in turn[0]["content"] if part["type"] == "image"] for turn in asked]
    second = processor(images=images, text=text, padding=True, return_tensors="pt")
    return [dict(first), dict(second)]


@pytest.mark.parametrize("prompts", [name for name in PROMPTS if name != "text only"])
def test_pictures_processed_once_give_the_same_fields(loaded: Any, prompts: str, monkeypatch: Any) -> None:
    processor = loaded[1]
    stock = both_calls(processor, PROMPTS[prompts])
    processed: list[int] = []
    spy(monkeypatch, processor, processed)
    with pictures_once(processor):
        ours = both_calls(processor, PROMPTS[prompts])
    for our, their in zip(ours, stock, strict=True):
        assert list(our) == list(their)
        for name, value in their.items():
            assert torch.equal(our[name], value) if isinstance(value, Tensor) else our[name] == value
    assert processed == [len({size for _, sizes in PROMPTS[prompts] for size in sizes})]


def test_pictures_differ_by_palette_and_options_too(loaded: Any) -> None:
    images = loaded[1].image_processor
    red, blue = Image.new("P", (48, 48)), Image.new("P", (48, 48))
    red.putpalette([200, 0, 0] + [0] * 765)
    blue.putpalette([0, 0, 200] + [0] * 765)
    assert red.tobytes() == blue.tobytes()
    stock = images([red, blue], return_tensors="pt")["pixel_values"], images([red], do_normalize=False)["pixel_values"]
    with pictures_once(loaded[1]):
        images([red])
        assert torch.equal(images([red, blue], return_tensors="pt")["pixel_values"], stock[0])
        assert torch.equal(images([red], do_normalize=False)["pixel_values"], stock[1])


def test_the_processor_is_left_as_it_was(loaded: Any) -> None:
    images = loaded[1].image_processor
    before = images.to_dict()
    with pytest.raises(ValueError, match="aspect ratio"), pictures_once(loaded[1]):
        images([picture(1, 4, 2000)])  # too narrow
    assert "preprocess" not in vars(images)
    assert images.to_dict() == before


# --- helpers --------------------------------------------------------------------------------------------------


@contextmanager
def rows_forwarded(model: Any) -> Iterator[list[tuple[int, int]]]:
    """The (rows, tokens) of every pass through the decoder inside the block."""
    seen: list[tuple[int, int]] = []

    def note(_: Any, args: Any) -> None:
        rows, tokens = args[0].shape
        seen.append((rows, tokens))

    hook = model.model.language_model.embed_tokens.register_forward_pre_hook(note)
    yield seen
    hook.remove()


def spy(monkeypatch: Any, processor: Any, processed: list[int]) -> None:
    """Note how many pictures each call preprocesses."""
    kind = type(processor.image_processor)
    preprocess = kind.preprocess

    def noted(self: Any, images: Any, **kwargs: Any) -> Any:
        processed.append(len(images))
        return preprocess(self, images, **kwargs)

    monkeypatch.setattr(kind, "preprocess", noted)
