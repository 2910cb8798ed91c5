"""A plan against what models, optimizers and the trainer really hold and compute."""

import contextlib
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from methods import METHODS, Teacher
from runners import scoring
from runners.config import Settings, resolve
from runners.method import build_method
from runners.model import load
from runners.plan_memory import LOGIT_COPIES, kept_bytes, teacher_copy
from runners.plan_model import model_shape
from runners.plan_work import Flops, rollout_flops, text_flops, update_flops, vision_flops
from runners.run_dir import RunDir
from runners.teacher import TeacherWeights
from runners.train import _lora, build_trainer
from tests.unit.test_plan import line, planned

LORA = "model.lora={rank: 4, alpha: 8}"


def inputs(config: Any, rows: int, tokens: int, side: int) -> dict[str, Any]:
    """`rows` rows of `tokens` tokens, each with a picture of side x side patches."""
    v = config.vision_config
    places = slice(2, 2 + side * side // v.spatial_merge_size**2)
    ids, types = torch.full((rows, tokens), 50), torch.zeros(rows, tokens, dtype=torch.long)
    ids[:, places], types[:, places] = config.image_token_id, 1
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": types,
        "pixel_values": torch.randn(rows * side * side, v.in_channels * v.temporal_patch_size * v.patch_size**2),
        "image_grid_thw": torch.tensor([[1, side, side]] * rows),
    }


def adapted(model: Any, settings: Settings) -> Any:
    from peft import get_peft_model

    return get_peft_model(model, _lora(settings)) if settings.model.lora else model


@pytest.mark.parametrize("lora", [(), (LORA,)])
def test_the_embedded_model_has_the_counted_parameters(lora: tuple[str, ...]) -> None:
    settings = resolve("cpu", "grpo", 0, list(lora))
    model, shape = adapted(load(settings.model)[0], settings), model_shape(settings.model)
    assert shape.total == sum(p.numel() for p in model.parameters())
    assert shape.trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert shape.head_trained == model.get_output_embeddings().weight.requires_grad


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_activations_are_what_a_forward_keeps(dtype: str, checkpointing: bool) -> None:
    options = [f"model.dtype={dtype}", f"train.gradient_checkpointing={json.dumps(checkpointing)}"]
    settings = resolve("cpu", "grpo", 0, options)
    model = load(settings.model)[0].train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage  # held, so that no address is used twice
        return tensor

    mixed = torch.autocast("cpu", torch.bfloat16) if dtype == "bfloat16" else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), mixed:
        model.base_model(**inputs(model.config, 2, 512, 16), use_cache=False)
    found = sum(storage.nbytes() for storage in kept.values())
    assert sum(kept_bytes(settings, model_shape(settings.model), 2 * 512, 2 * 256)) == pytest.approx(found, rel=0.06)


class PeakBytes(TorchDispatchMode):
    """Bytes of the tensors that live at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.peak, self.seen = 0, 0, set[int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            storage = tensor.untyped_storage() if isinstance(tensor, torch.Tensor) else None
            if storage is not None and storage._cdata not in self.seen:
                self.seen.add(storage._cdata)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return out

    def _gone(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size


def test_a_divergence_holds_as_many_logits_as_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "CHUNK", 1 << 18)
    tokens, vocabulary, hidden = 256, 4096, 8
    ones = torch.ones(1, tokens, dtype=torch.long)
    rows = scoring.Rows(ones[:, :1], ones[:, :1], ones, ones)
    peaks = []
    for method in (build_method(name, {}) for name in METHODS):
        if not method.distils:
            continue
        states, weight = torch.randn(2, 1, tokens, hidden, requires_grad=True), torch.randn(2, vocabulary, hidden)
        student, teacher = (scoring.Head(w, None) for w in weight)

        def model(then: Any, states: Any = states, head: Any = student, **_: Any) -> Any:
            return then(states[0], head)

        with PeakBytes() as bytes_:
            told = (states[1].detach(), teacher)
            scoring.divergence(model, rows, told, 1.0, method.distill).divergence_BT.sum().backward()  # type: ignore[arg-type]
        peaks.append(bytes_.peak / (4 * (1 << 18)))
    assert 0.9 * LOGIT_COPIES < max(peaks) < 1.05 * LOGIT_COPIES


# --- what training really allocates ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("model.dtype=bfloat16",), ("model.dtype=bfloat16", LORA)], ids=str)
@pytest.mark.parametrize("kind", ["none", "initial", "live", "snapshot", "ema"])
def test_the_teachers_copy_has_the_planned_bytes(kind: Any, options: tuple[str, ...]) -> None:
    settings = resolve("cpu", "grpo", 0, list(options))
    policy = adapted(load(settings.model)[0], settings)
    weights = TeacherWeights(Teacher(kind, every=1, rate=0.1), policy)
    weights.start()

    class Told:
        teacher = Teacher(kind)

    assert weights.bytes == teacher_copy(settings, Told(), model_shape(settings.model))  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [(), ("model.dtype=bfloat16",), ("model.dtype=bfloat16", LORA)], ids=str)
def test_a_step_of_the_trainer_allocates_the_planned_bytes(options: tuple[str, ...], tmp_path: Path) -> None:
    small = ("train.steps=1", "train.prompts=1", "train.generations=2", "train.max_completion_tokens=4")
    plan, settings = planned("cpu", "rlsd", *small, *options)
    method, run = build_method("rlsd", {}), RunDir(tmp_path / "run")
    run.open(settings, method.label, "test", "embedded")
    trainer = build_trainer(settings, method, run, [])
    trainer.train()

    def size(tensors: Any) -> int:
        return sum(t.numel() * t.element_size() for t in tensors)

    policy = list(trainer.model.parameters())
    assert size(p for p in policy if p.requires_grad) == line(plan, "trained weights") == line(plan, "gradients")
    assert size(p for p in policy if not p.requires_grad) == line(plan, "frozen weights")
    averages = [s[k] for s in trainer.optimizer.state.values() for k in ("exp_avg", "exp_avg_sq")]
    assert size(averages) == line(plan, "AdamW")
    assert trainer.teacher.bytes == line(plan, "teacher's copy")


# --- work ---


def counted(settings: Settings, backward: bool) -> tuple[int, Any]:
    """torch's count of a forward, and backward, of the embedded model. Eager: it does not count the CPU's kernels."""
    model = adapted(load(settings.model)[0], settings).train()
    if settings.train.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    with FlopCounterMode(display=False) as counter:
        out = model(**inputs(model.config, 2, 128, 16))
        if backward:
            out.logits.sum().backward()
    return counter.get_total_flops(), model_shape(settings.model)


def test_a_forward_computes_the_planned_operations() -> None:
    found, shape = counted(resolve("cpu", "grpo", 0, ["model.attention=eager"]), backward=False)
    vision, text = vision_flops(shape, 256), text_flops(shape, 128, 128, 128)
    assert 2 * (vision.total + text.total) == pytest.approx(found, rel=0.01)
    # A causal row sees half of itself on average; the head is asked for the completion alone.
    less = text.attention / 2 + 2 * shape.head * 100
    assert rollout_flops(shape, 100, 28, 256).total == pytest.approx(vision.total + text.total - less)


@pytest.mark.parametrize(
    "options", [(), ("train.gradient_checkpointing=true",), ("model.lora={rank: 1, alpha: 2}",)], ids=str
)
def test_an_update_computes_the_planned_operations(options: tuple[str, ...]) -> None:
    settings = resolve("cpu", "grpo", 0, ["model.attention=eager", *options])
    found, shape = counted(settings, backward=True)
    vision, text = vision_flops(shape, 256), text_flops(shape, 128, 128, 128)
    forward = Flops(vision.weights + text.weights, vision.attention + text.attention)
    expected = 2 * update_flops(settings, forward)
    if settings.train.gradient_checkpointing:  # here, unlike in training, the head is no part of what is recomputed
        expected -= 2 * (2 * shape.head * 128 + 2 * shape.merger_linear * 64)
    # Left out of the plan: patches need no gradient, checkpoints stop before a layer's last product, tiny adapters.
    assert expected == pytest.approx(found, rel=0.07)
