"""The work of a plan against what passes, updates and whole steps of the trainer really compute."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from runners.forward.hidden_states import Layouts
from runners.forward.logprobs import (
    expose_hidden_states,
    states_of_parts,
    student_scores,
    teacher_states,
    token_log_probs,
)
from runners.forward.split_group import SplitGroup
from runners.plan.model_shape import model_shape
from runners.plan.passes import (
    parts,
    reading,
    scored_at_once,
    scores_student,
    whole_step,
    whole_teacher,
    whole_update,
)
from runners.plan.work import work
from runners.run.config import Settings, override, resolve
from runners.run.model import load
from runners.run.registry import build_method
from runners.run.run_dir import RunDir
from runners.speed.measure import Operations
from runners.train import run
from tests.support.methods import by_chunks
from tests.unit.runners.plan.test_plan_real import GROUPS, LORA, SIDE, adapted, loss_of, micro_batch

CHECKPOINTS = "train.gradient_checkpointing=true"


@pytest.fixture(autouse=True)
def _no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first batch would be scored in both layouts, which no plan counts."""
    monkeypatch.setattr(Layouts, "_checked", lambda *_: True)


def _attention(query: Any, key: Any, causal: bool) -> int:
    """Scores and weighted sum; of a causal square the half that is computed."""
    (batch, heads, tokens, size), seen = query, key[2]
    return 4 * batch * heads * tokens * seen * size // (2 if causal else 1)


def _forward(q: Any, k: Any, v: Any, p: float = 0.0, causal: bool = False, *_: Any, **__: Any) -> int:
    return _attention(q, k, causal)


def _backward(grad: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, p: float, causal: bool, *_: Any, **__: Any) -> int:
    return _attention(q, k, causal) * 5 // 2  # scores anew, and the gradients of four matrices


aten = torch.ops.aten
CPU_ATTENTION = {
    aten._scaled_dot_product_flash_attention_for_cpu: _forward,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward,
}


class Counted:
    """Text tokens and patches of what runs inside, and its operations, which takes twice as long."""

    def __init__(self, model: Any, operations: bool = True) -> None:
        self.tokens = self.patches = 0
        named = dict(model.named_modules())
        self._modules = [
            next(module for name, module in named.items() if name.endswith(end))
            for end in ("language_model.norm", "visual.patch_embed")
        ]
        self._counter: Any = Operations(CPU_ATTENTION) if operations else nullcontext()

    def __enter__(self) -> "Counted":
        self._hooks = [
            module.register_forward_pre_hook(hook)
            for module, hook in zip(self._modules, (self._text, self._vision), strict=True)
        ]
        self._counter.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._counter.__exit__(*error)
        for hook in self._hooks:
            hook.remove()

    def _text(self, _: Any, inputs: Any) -> None:
        self.tokens += inputs[0][..., 0].numel()

    def _vision(self, _: Any, inputs: Any) -> None:
        self.patches += len(inputs[0])

    @property
    def flops(self) -> int:
        return self._counter.flops


def expected(method: str, *options: str) -> tuple[Any, Settings, dict[str, float]]:
    """Model, settings and the planned operations of each part, for one micro-batch as large as the step or as told."""
    settings = resolve("cpu", method, 0, [*GROUPS, *options])
    parts = work(settings, build_method(method, {}), model_shape(settings.model), 1e12, 0.4, 0)
    model = adapted(load(settings.model)[0].train(), settings)
    expose_hidden_states(model.get_base_model() if settings.model.lora else model, settings.train.shared_prefix)
    if settings.train.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    return model, settings, {part.what: part.flops for part in parts}


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("shared", [True, False])
def test_a_scoring_pass_is_as_planned(shared: bool, told: bool) -> None:
    method = "sdpo" if told else "rlsd"
    model, settings, planned_flops = expected(method, f"train.shared_prefix={json.dumps(shared)}")
    rows = micro_batch(model.config, settings, told)
    with Counted(model) as counted, torch.no_grad():
        if told:
            teacher_states(model, rows, copy_head=False)
        else:
            token_log_probs(model, rows, 1.0)
    one = whole_teacher(settings, build_method(method, {}), 0)
    assert (counted.tokens, counted.patches) == (one.tokens, one.pictures * SIDE**2)
    assert counted.flops == pytest.approx(planned_flops["teacher's states" if told else "score, teacher"], rel=0.01)
    assert (one.prompts, one.pictures) == ((4 if told else 2, 2) if shared else (8, 8))


@pytest.mark.parametrize(
    ("method", "options", "keep"),
    [
        ("grpo", (), True),
        ("grpo", (CHECKPOINTS,), False),
        ("opsd", (), True),
        ("opsd", (LORA,), True),
        ("grpo_opsd", (), False),
        ("grpo_opsd", (CHECKPOINTS,), True),
        ("grpo_opsd", (LORA,), False),
        ("grpo", ("train.micro_batch=2",), True),
        ("opsd", ("train.micro_batch=1", CHECKPOINTS), True),
    ],
    ids=str,
)
def test_an_update_is_as_planned(
    method: str, options: tuple[str, ...], keep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runners.forward.chunked_head.KEEP", 1 << 26 if keep else 1)
    model, settings, planned_flops = expected(method, *options)
    rows, built = micro_batch(model.config, settings), build_method(method, {})
    one = lambda logp_N, _: torch.ones_like(logp_N)  # noqa: E731
    batches, per_group = rows.split(settings.train.device_batch), parts(settings)
    states = states_of_parts(model, batches, copy_head=False) if built.distils else [None] * len(batches)
    with Counted(model) as counted:
        for number, (batch, said) in enumerate(zip(batches, states, strict=True)):
            if number % per_group == 0:
                group = SplitGroup(per_group) if per_group > 1 else None
            told = None if said is None else dict.fromkeys(built.teachers, said)
            scores = student_scores(model, batch, 1.0, told, by_chunks(built), one, built.policy_gradient, group)
            loss_of(built, scores).backward()
    planned_pass = whole_update(settings)
    assert (counted.tokens, counted.patches) == (planned_pass.tokens, planned_pass.pictures * SIDE**2)
    assert planned_pass.prompts == 2
    assert counted.flops == pytest.approx(planned_flops["update"], rel=0.015)


def alternating(completions: Any, **_: Any) -> list[float]:
    return [float(i % 2) for i in range(len(completions))]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("grpo", ("train.shared_prefix=false",)),
        ("rlsd", ()),
        ("rlsd", ("train.updates=2",)),
        ("sdpo", ()),
        ("grpo_opsd", ()),
    ],
    ids=str,
)
def test_a_step_forwards_the_planned_tokens_and_patches(
    method: str, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(run.REWARDS, "accuracy", {alternating: 1.0})  # so that no rollout is skipped
    vision_ids = run.vision_ids
    monkeypatch.setattr(run, "vision_ids", lambda config: [*vision_ids(config), config.text_config.eos_token_id])
    numbers: dict[str, int] = {}
    monkeypatch.setattr(
        "runners.train.contexts.told_text", lambda text, c: text + "ab"[numbers.setdefault(c.text, len(numbers))]
    )
    small = ("train.steps=1", "train.prompts=1", "train.generations=4", "train.micro_batch=2")
    settings = resolve("cpu", method, 0, [*small, "train.max_completion_tokens=6", "train.temperature=3", *options])
    built, folder = build_method(method, settings.params), RunDir(tmp_path / "run")
    folder.open(settings, built.label, "test", "embedded")
    trainer = run.build_trainer(settings, built, folder, [])
    trainer.args.save_strategy = "no"
    with Counted(trainer.model, operations=False) as counted:
        trainer.train()
    batch = trainer._buffered_inputs[0]
    prompt = int(batch["prompt_mask"].sum(1).max())
    told = max((int(batch[f"{name}/mask"].sum(1).max()) - prompt for name in built.teachers), default=0)
    patches = int(batch["image_grid_thw"][0].prod())
    settings = override(settings, [f"train.max_prompt_tokens={prompt}"])
    passes = [reading(settings), whole_update(settings)]
    passes += [whole_step(settings, scored_at_once(settings))] * scores_student(settings, built)
    if built.teachers:
        passes.append(whole_teacher(settings, built, told))
    sampled = 4 * 6
    assert counted.tokens == sum(one.tokens for one in passes) + sampled
    assert counted.patches == sum(one.pictures for one in passes) * patches
