"""A plan against what models, optimizers and the trainer really hold and compute."""

import contextlib
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from methods import METHODS, Teacher
from runners.forward import packing
from runners.forward.batch import Rows
from runners.forward.chunked_head import States
from runners.forward.hidden_states import by_row
from runners.forward.lm_head import Head
from runners.forward.logprobs import student_scores
from runners.forward.split_group import SplitGroup
from runners.plan.memory import LOGIT_COPIES, head_bytes, kept_bytes, memory, teacher_copy
from runners.plan.model_shape import model_shape
from runners.plan.passes import micro_batch as planned_batch
from runners.run.config import Settings, resolve
from runners.run.model import adapters, load
from runners.run.registry import build_method
from runners.run.run_dir import RunDir
from runners.train.run import build_trainer
from runners.train.teacher import TeacherWeights
from tests.support.methods import by_chunks, copied_bytes
from tests.unit.runners.plan.test_plan import line, planned

LORA = "model.lora={rank: 4, alpha: 8}"
SHORT = ("train.micro_batch=64", "train.max_prompt_tokens=128", "train.max_completion_tokens=128")
SIDE, PIXELS = 16, "model.max_pixels=16384"  # patches of 8 x 8
GROUPS = ("train.prompts=2", "train.generations=4", "train.vllm=true", PIXELS, *SHORT)
SMALL_HEAD = ("train.max_completion_tokens=16", "train.micro_batch=4")  # 64 tokens


def micro_batch(config: Any, settings: Settings, told: bool = False) -> Rows:
    """All rollouts of a step, each prompt and completion at its limit; a picture of SIDE x SIDE patches in each prompt.

    told: the first of each group has another prompt than the rest of it.
    """
    t, v = settings.train, config.vision_config
    B = t.prompts * t.generations
    number_B = torch.arange(B) // t.generations
    places = slice(3, 3 + SIDE * SIDE // v.spatial_merge_size**2)
    ids_BP, types_BP = torch.full((B, t.max_prompt_tokens), 50), torch.zeros(B, t.max_prompt_tokens, dtype=torch.long)
    ids_BP[:, 0] = 60 + number_B
    ids_BP[:: t.generations, 1] += told
    ids_BP[:, places], types_BP[:, places] = config.image_token_id, 1
    features = v.in_channels * v.temporal_patch_size * v.patch_size**2
    pixels = torch.arange(SIDE * SIDE * features).remainder(7.0).view(-1, features)
    return Rows(
        ids_BP,
        torch.ones_like(ids_BP),
        torch.full((B, t.max_completion_tokens), 70),
        torch.ones(B, t.max_completion_tokens, dtype=torch.long),
        types_BP,
        {
            "pixel_values": torch.cat([pixels + number for number in number_B]),
            "image_grid_thw": torch.tensor([[1, SIDE, SIDE]] * B),
        },
        [1] * B,
    )


def adapted(model: Any, settings: Settings) -> Any:
    from peft import get_peft_model

    return get_peft_model(model, adapters(settings.model.lora, model)) if settings.model.lora else model


@pytest.mark.parametrize("lora", [(), (LORA,)])
def test_the_embedded_model_has_the_counted_parameters(lora: tuple[str, ...]) -> None:
    settings = resolve("cpu", "grpo", 0, list(lora))
    model, shape = adapted(load(settings.model)[0], settings), model_shape(settings.model)
    assert shape.total == sum(p.numel() for p in model.parameters())
    assert shape.trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert shape.head_trained == model.get_output_embeddings().weight.requires_grad


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("shared", "prompts"), [(True, 2), (False, 1)])
def test_activations_are_what_a_forward_keeps(shared: bool, prompts: int, dtype: str, checkpointing: bool) -> None:
    flags = {"train.shared_prefix": shared, "train.gradient_checkpointing": checkpointing}
    sizes = (f"train.prompts={prompts}", f"train.generations={8 // prompts}", *SHORT)
    options = [f"model.dtype={dtype}", *sizes, *(f"{key}={json.dumps(value)}" for key, value in flags.items())]
    settings = resolve("cpu", "grpo", 0, options)
    model = load(settings.model)[0].train()
    if shared:
        packing.prepare(model)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    rows = micro_batch(model.config, settings)
    if shared:
        rows.completion_mask_BT[::2, -1] = 0
    found = kept_of(model, dtype, lambda: (packing.hidden_states if shared else by_row)(model, rows))
    one = planned_batch(settings)
    planned = kept_bytes(settings, model_shape(settings.model), one.tokens, one.pictures * SIDE**2)
    assert sum(planned) == pytest.approx(found, rel=0.06)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_first_part_of_a_group_keeps_its_prompt_and_itself(checkpointing: bool) -> None:
    sizes = ("train.prompts=1", "train.generations=8", *SHORT, "train.micro_batch=2")
    settings = resolve("cpu", "grpo", 0, [*sizes, f"train.gradient_checkpointing={json.dumps(checkpointing)}"])
    model = load(settings.model)[0].train()
    packing.prepare(model)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    rows, group = micro_batch(model.config, settings).select([0, 1]), SplitGroup(4)
    found = kept_of(model, "float32", lambda: group.hidden_states(model, rows), lambda: group._prompt.tensors)  # type: ignore[union-attr]
    one, shape = planned_batch(settings), model_shape(settings.model)
    planned = sum(kept_bytes(settings, shape, one.tokens, one.pictures * SIDE**2))
    if checkpointing:  # otherwise the layers keep them anyway
        planned += one.prompt * shape.kv_values_per_token * 4
    assert found == pytest.approx(planned, rel=0.06)


def kept_of(model: Any, dtype: str, call: Any, more: Any = tuple) -> int:
    """Bytes that the graph of what `call` returns keeps, but for weights, and those of the tensors of `more()`."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage  # held, so that no address is used twice
        return tensor

    mixed = torch.autocast("cpu", torch.bfloat16) if dtype == "bfloat16" else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), mixed:
        call()
    for tensor in more():
        pack(tensor)
    return sum(storage.nbytes() for storage in kept.values())


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
    monkeypatch.setattr("runners.forward.lm_head.CHUNK", 1 << 18)
    tokens, vocabulary, hidden = 256, 4096, 8
    ones = torch.ones(1, tokens, dtype=torch.long)
    rows = Rows(ones[:, :1], ones[:, :1], ones, ones)
    peaks = []
    for method in (build_method(name, {}) for name in METHODS):
        if not method.distils:
            continue
        states, weight = torch.ones(2, tokens, hidden, requires_grad=True), torch.ones(2, vocabulary, hidden)
        student, teacher = (Head(w, None) for w in weight)

        def model(then: Any, states: Any = states, head: Any = student, **_: Any) -> Any:
            return then(states[0], head)

        told = dict.fromkeys(method.teachers, States(states[1].detach(), teacher))
        with PeakBytes() as bytes_:
            one = lambda logp_N, _: torch.ones_like(logp_N)  # noqa: E731
            student_scores(model, rows, 1.0, told, by_chunks(method), one, policy=False).loss.backward()  # type: ignore[arg-type,union-attr]
        peaks.append(bytes_.peak / (4 * (1 << 18)))
    assert 0.9 * LOGIT_COPIES < max(peaks) < 1.05 * LOGIT_COPIES


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
@pytest.mark.parametrize(("method", "keep"), [("grpo", True), ("grpo", False), ("opsd", True), ("grpo_opsd", True)])
def test_the_head_of_an_update_allocates_the_planned_bytes(
    method: str, keep: bool, compute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, vocabulary, hidden = build_method(method, {}), 4096, 512
    monkeypatch.setattr("runners.forward.lm_head.CHUNK", 1 << 17)
    monkeypatch.setattr("runners.forward.chunked_head.KEEP", 1 << 26 if keep else 1)
    settings = resolve("cpu", method, 0, [f"model.dtype={compute}", *GROUPS, *SMALL_HEAD])
    shape = model_shape(settings.model)._replace(head=vocabulary * hidden, vocabulary=vocabulary, hidden=hidden)
    ones, states = torch.ones(1, 64, dtype=torch.long), torch.ones(2, 64, hidden)
    rows = Rows(ones[:, :1], ones[:, :1], ones, ones)
    dtype = getattr(torch, compute)
    weight_VD, teacher_VD = torch.ones(2, vocabulary, hidden).to(dtype)
    weight_VD = weight_VD.clone().requires_grad_()
    hidden_ND, teacher_ND = states[0].to(dtype).requires_grad_(), states[1].to(dtype)
    told = dict.fromkeys(built.teachers, States(teacher_ND, Head(teacher_VD, None))) if built.distils else None
    bytes_ = PeakBytes()
    bytes_.seen.update(x.untyped_storage()._cdata for x in (hidden_ND, teacher_ND, weight_VD, teacher_VD))
    mixed = torch.autocast("cpu", torch.bfloat16) if compute == "bfloat16" else contextlib.nullcontext()
    with bytes_, mixed:
        model: Any = lambda rows, then: then(hidden_ND, Head(weight_VD, None))  # noqa: E731
        one = lambda logp_N, _: torch.ones_like(logp_N)  # noqa: E731
        scores = student_scores(model, rows, 1.0, told, by_chunks(built), one, built.policy_gradient)
        loss_of(built, scores).backward()
    plan = head_bytes(settings, built, shape)[1]
    plan -= hidden_ND.nbytes + (teacher_ND.nbytes + teacher_VD.nbytes if built.distils else 0)  # were there before
    # Not all of it is there at the same moment, least so with two losses.
    assert (0.6 if built.distils and built.policy_gradient else 0.75) * plan < bytes_.peak < 1.02 * plan


def loss_of(method: Any, scores: Any) -> torch.Tensor:
    rewarded = scores.logp_BT.sum() if method.policy_gradient else torch.zeros(())
    return rewarded if scores.loss is None else rewarded + scores.loss


# --- what training really allocates ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("model.dtype=bfloat16",), ("model.dtype=bfloat16", LORA)], ids=str)
@pytest.mark.parametrize("kind", ["initial", "live", "snapshot", "ema"])
def test_the_teachers_copy_has_the_planned_bytes(kind: Any, options: tuple[str, ...]) -> None:
    settings = resolve("cpu", "grpo", 0, list(options))
    policy = adapted(load(settings.model)[0], settings)
    weights = TeacherWeights(Teacher(kind, every=1, rate=0.1), policy)
    weights.start()

    class Told:
        teachers = {"told": Teacher(kind, every=1, rate=0.1)}

    assert copied_bytes(weights) == teacher_copy(settings, Told(), model_shape(settings.model))  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [(), ("model.dtype=bfloat16",)], ids=str)
@pytest.mark.parametrize("kind", ["live", "snapshot", "ema"])
def test_a_teacher_on_the_host_has_the_planned_bytes(kind: Any, options: tuple[str, ...]) -> None:
    settings = resolve("cpu", "grpo", 0, list(options))
    policy = load(settings.model)[0]
    weights = TeacherWeights(Teacher(kind, every=1, rate=0.1), policy, on_host=True)
    weights.start()
    with PeakBytes() as bytes_:
        bytes_.seen.update(t.untyped_storage()._cdata for t in [*policy.parameters(), *weights._copy.values()])
        with weights.active():
            pass

    class Told:
        teachers, distils, policy_gradient = {"told": Teacher(kind, every=1, rate=0.1)}, False, True

    tight = memory(settings, Told(), model_shape(settings.model), 1.0)  # type: ignore[arg-type]
    aside = bytes_.peak if kind == "ema" and options else 0  # the student's values, while an average scores
    assert tight.host == copied_bytes(weights) + aside


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
    assert copied_bytes(*trainer.teachers._holders.values()) == line(plan, "teacher's copy")
