"""A plan against numbers worked out by hand."""

import json
import shlex
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from trl import GRPOConfig

from eval.core.errors import UserError
from methods import METHODS
from runners.plan.memory import GIB, key_value_cache, teacher_copy
from runners.plan.model_shape import SHAPES, model_shape
from runners.plan.passes import micro_batch, reading, scored_at_once, whole_step, whole_teacher, whole_update
from runners.plan.plan import Plan, epochs, make_plan, told_tokens
from runners.plan.table import tables
from runners.run.config import Settings, override, preset_names, resolve
from runners.run.registry import build_method, complete
from runners.run.run_dir import RunDir
from runners.train.teacher import fits_beside
from runners.train.trl_config import trl_config
from tests.support.warm import cli

PUBLISHED = {"8B": 8_767_123_696, "4B": 4_437_815_808, "2B": 2_127_532_032}  # safetensors totals on the hub


def planned(preset: str, method: str, *overrides: str, gpu: float = 140) -> tuple[Plan, Settings]:
    settings, built = complete(resolve(preset, method, 0, list(overrides)))
    return make_plan(settings, built, gpu, 0.4), settings


def line(plan: Plan, what: str) -> float:
    return sum(found.size for found in plan.memory.lines if found.what == what)


def shown(plan: Plan, settings: Settings) -> str:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(tables(plan, settings, 0.4))
    return console.export_text()


# --- every method and preset ----------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("method", METHODS)
def test_every_plan_says_what_the_method_does(preset: str, method: str) -> None:
    plan, settings = planned(preset, method)
    built = build_method(method, settings.params)
    done = {part.what for part in plan.work}
    assert {"read prompts", "decode"} <= done
    assert ("score, teacher" in done) == built.credit_uses_teacher
    assert ("teacher's states" in done) == built.distils
    assert "score, student" not in done, "the update's own log-probabilities do, whatever engine has sampled"
    update = next(part.formula for part in plan.work if part.what == "update")
    assert ("policy gradient" in update, "divergence" in update) == (built.policy_gradient, built.distils)
    assert all(part.flops > 0 and part.seconds > 0 for part in plan.work)
    assert (line(plan, "teacher's copy") > 0) == (" GiB" in plan.teacher)
    text = shown(plan, settings)
    assert max(len(row) for row in text.splitlines()) <= 100
    for field in fields(built):
        assert f"{field.name}=" in text
    assert plan.memory.fits != ("It does not fit" in text)
    assert ("It fits" in text) == (plan.memory.fits and not plan.missing)


# --- the model ------------------------------------------------------------------------------------------------


def test_the_counts_are_the_published_ones() -> None:
    for size, count in PUBLISHED.items():
        shape = model_shape(resolve("paper", "grpo", 0, [f"model.path=Qwen/Qwen3-VL-{size}-Instruct"]).model)
        assert (shape.total, shape.trained, shape.base) == (count, count, count)
    assert all(json.loads(file.read_text())["source"] for file in SHAPES.glob("*.json"))
    named = {resolve(preset, "grpo", 0, []).model.path for preset in preset_names()} - {"embedded"}
    assert named <= {f"Qwen/{file.stem}" for file in SHAPES.glob("*.json")}


def test_adapters_by_hand() -> None:
    text = 36 * ((2560 + 4096) + 2 * (2560 + 1024) + (4096 + 2560) + 3 * (2560 + 9728))
    vision = 24 * ((1024 + 3072) + (1024 + 1024) + 2 * (1024 + 4096)) + 4 * ((4096 + 4096) + (4096 + 2560))
    assert model_shape(resolve("lora", "grpo", 0, []).model).trained == 64 * (text + vision)


@pytest.mark.parametrize("keys", [{"hidden_size": 8}, []])
def test_a_foreign_configuration_is_one_line(tmp_path: Path, keys: Any) -> None:
    (tmp_path / "config.json").write_text(json.dumps(keys))
    with pytest.raises(UserError, match="is no model's configuration"):
        planned("paper", "grpo", f"model.path={tmp_path}")
    with pytest.raises(UserError, match=r"set model\.path to a folder that has one"):
        planned("paper", "grpo", "model.path=Qwen/Qwen9-VL")


# --- batches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [(), ("train.updates=2",), ("train.processes=2", "train.prompts=32")])
@pytest.mark.parametrize("preset", preset_names())
def test_batches_are_what_the_trainer_is_told(preset: str, overrides: tuple[str, ...], tmp_path: Path) -> None:
    plan, settings = planned(preset, "grpo", *overrides)
    told, t = trl_config(settings, RunDir(tmp_path), []), settings.train
    rollouts = told.per_device_train_batch_size * told.steps_per_generation * t.processes
    assert rollouts == t.prompts * t.generations and told.max_steps == t.steps * t.updates
    text = shown(plan, settings)
    assert f"= {rollouts:,} rollouts" in text and f"= {rollouts // t.processes:,} rollouts" in text
    assert f"= {told.gradient_accumulation_steps:,} micro-batch" in text
    assert told.vllm_gpu_memory_utilization == t.vllm_memory == 0.3 or not told.use_vllm
    assert isinstance(told, GRPOConfig) and not told.vllm_enable_sleep_mode


def test_epochs_by_hand(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("{}\n" * 64 + "\n")
    assert epochs(resolve("cpu", "grpo", 0, [f"data.source={tmp_path / 'mine.jsonl'}"])) == 40 * 8 / 64
    assert epochs(resolve("cpu", "grpo", 0, [])) is None
    assert epochs(resolve("paper", "grpo", 0, [])) == pytest.approx(0.416, abs=0.001)


# --- memory ---------------------------------------------------------------------------------------------------


def test_memory_of_the_paper_by_hand() -> None:
    plan, settings = planned("paper", "rlsd")
    n = PUBLISHED["8B"]
    assert line(plan, "trained weights") == line(plan, "gradients") == line(plan, "teacher's copy") == n * 4 / 8
    assert line(plan, "AdamW") == n * 8 / 8
    assert line(plan, "frozen weights") == 0
    assert line(plan, "vLLM") == pytest.approx(42 * GIB)
    assert line(plan, "pictures") == 256 * 4096 * 1536 * 4
    head, layer = 151_936 * 4096, 4096 * (2 * 4096 + 2 * 1024) + 3 * 4096 * 12_288 + 2 * 4096 + 2 * 128
    outside = plan.shape.outside_layers  # the last norm, and of the picture tower what is around its layers
    assert line(plan, "FSDP2 at work") == 2 * (2 * layer + outside + head + head) + 4 * head
    states = 2 * 16_384 * 4096 * 2  # of four rollouts, and their gradients
    assert line(plan, "head") == head * (4 + 2) + 2**24 * 4 * 4 + states, "its gradient, twice; a chunk of logits"
    cache = key_value_cache(settings, plan.shape, 140 * GIB)
    assert cache.per_token == 2 * 36 * 8 * 128 * 2 == 147_456
    assert cache.sequences == int((42 * GIB - n * 2 - 2 * GIB) // (8192 * 147_456)) == 21
    tokens = 4096 + 4 * 4096  # four rollouts of one prompt
    inputs_of_layers, layer = 36 * 4096 * 2, 16 * 4096 + 12 * 4096 + 10 * 1024 + 8 * 12_288
    flowing = 2 * (2 * 4096 + 3 * 12_288)
    last_norm = 6 * 4096
    assert line(plan, "activations, text") == tokens * (inputs_of_layers + last_norm + layer + flowing)
    repeated, waiting = 4 * 8192 * 4096 * 2 * 2, 2 * 4096 * 147_456
    assert line(plan, "keys and values") == repeated + waiting, "of four rollouts in one layer; of the prompt in all"
    assert plan.memory.needed == sum(one.size for one in plan.memory.lines if one.what != "pictures")
    assert plan.memory.fits and plan.mend is None


def test_sharding_divides_and_copies_do_not() -> None:
    whole, divided = (planned("paper", "sdpo", f"train.sharding={kind}", gpu=600)[0] for kind in ("none", "fsdp2"))
    n = PUBLISHED["8B"]
    assert line(whole, "trained weights") == n * 2 and line(divided, "trained weights") == n * 4 / 8
    assert line(whole, "gradients") == 3 * n * 2  # DDP's buckets, and what waits in the last of two parts of a group
    assert line(whole, "teacher's copy") == n * 4 and line(divided, "teacher's copy") == n * 4 / 8
    assert any("bfloat16" in note for note in whole.notes) and not divided.notes


def test_a_teacher_without_room_on_the_gpu_is_kept_in_host_memory() -> None:
    n = PUBLISHED["8B"]
    roomy, tight = (planned("paper", "rlsd", gpu=gpu)[0] for gpu in (140, 65))
    assert roomy.memory.host == 0 and "host" not in roomy.teacher
    assert line(roomy, "teacher's copy") == n * 4 / 8
    assert tight.memory.fits and tight.memory.host == n * 4 / 8
    assert line(tight, "teacher's copy") == 0
    assert "4.08 GiB, at most twice that once pinned, of host memory in each process" in tight.teacher
    average = planned("paper", "sdpo", "train.sharding=none", gpu=80)[0]
    assert average.memory.host == n * 4 + n * 2, "the average, and the student that it has no room for"
    assert line(planned("paper", "rlsd", "train.sharding=none", gpu=600)[0], "teacher's copy") == n * 2
    assert planned("paper", "grpo", gpu=10)[0].memory.host == 0, "no teacher, nothing to move"


@pytest.mark.parametrize("gpu", [24, 48, 65, 80, 140, 400])
@pytest.mark.parametrize("method", ["rlsd", "sdpo"])
@pytest.mark.parametrize("preset", ["lora", "paper"])
def test_a_run_keeps_its_teacher_where_the_plan_says(preset: str, method: str, gpu: int) -> None:
    plan, settings = planned(preset, method, gpu=gpu)
    loaded = sum(line(plan, what) for what in ("trained weights", "frozen weights", "vLLM", "overhead"))
    copy = teacher_copy(settings, build_method(method, {}), plan.shape) / settings.train.shards
    fits = fits_beside(int(line(plan, "trained weights")), int(copy), int(gpu * GIB - loaded), gpu * GIB)
    assert (plan.memory.host == 0) == fits


def test_all_rollouts_of_transformers_share_one_cache() -> None:
    plan, _ = planned("lora", "grpo", "train.vllm=false")
    assert line(plan, "key-value cache") == 128 * (4096 + 2048) * 147_456
    assert plan.memory.needed == plan.memory.of("rollouts") > plan.memory.of("update")


@pytest.mark.parametrize("gpu", [24, 48, 80])
@pytest.mark.parametrize("preset", ["paper", "lora"])
def test_a_plan_that_does_not_fit_names_a_change_that_does(preset: str, gpu: float) -> None:
    plan, _ = planned(preset, "grpo_opsd", gpu=gpu)
    if plan.mend is None:
        assert plan.memory.fits
        return
    assert not plan.memory.fits
    words = shlex.split(plan.mend)
    pairs = [pair for flag, pair in pairwise(words) if flag == "--set"]
    assert pairs, plan.mend
    assert planned(preset, "grpo_opsd", *pairs, gpu=gpu)[0].memory.fits


def test_what_is_missing_is_named_and_then_nothing_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, settings = planned("paper", "grpo", "model.attention=flash_attention_2")
    assert [what.partition(" ")[0].rstrip(",") for what in plan.missing] == ["vLLM", "flash-attn"]
    text = " ".join(shown(plan, settings).split())
    assert "The memory does" in text and "flash-attn" in text and "It fits" not in text
    monkeypatch.setattr("runners.plan.plan._installed", lambda _: True)
    plan, settings = planned("paper", "grpo")
    assert plan.missing == [] and "It fits" in shown(plan, settings)


def test_an_engine_of_two_gpus_that_sleeps_by_hand() -> None:
    plan, _ = planned("paper", "grpo", "train.vllm_memory=0.5", "train.vllm_sleep=true", "train.vllm_tensor_parallel=2")
    (engine,) = (found for found in plan.memory.lines if found.what == "vLLM")
    assert (engine.size, engine.phase) == (70 * GIB, "rollouts")
    left = 70 * GIB - PUBLISHED["8B"] * 2 / 2 - 2 * GIB
    assert plan.memory.sequences == int(left / (8192 * 147_456 / 2))


def test_an_engine_without_room_for_one_rollout_does_not_fit() -> None:
    plan, _ = planned("paper", "grpo", "train.micro_batch=1", gpu=60)
    assert plan.memory.needed < plan.memory.available and not plan.memory.fits


# --- work -----------------------------------------------------------------------------------------------------


def test_work_of_the_paper_by_hand() -> None:
    plan, settings = planned("paper", "grpo")
    parts = {part.what: part for part in plan.work}
    decoder = 36 * (4096 * (4096 + 2 * 1024) + 4096 * 4096 + 3 * 4096 * 12_288)
    assert plan.shape.decoder_linear == decoder
    head, attention = 151_936 * 4096, 4 * 36 * 4096
    s = plan.shape
    picture = 2 * 4096 * (s.vision_linear + s.merger_linear / 4) + 4 * 27 * 1152 * 4096**2
    assert parts["read prompts"].flops == pytest.approx(
        256 * (4095 * (2 * decoder + attention * 2048) + picture), rel=1e-3
    )
    assert parts["decode"].flops == 2048 * 4096 * (2 * decoder + 2 * head + attention * (4096 + 2048))

    def forwarded(prompts: int) -> float:
        seen = prompts * 4096 * 2048 + 2048 * 4096 * (4096 + 2048)
        return 2 * decoder * (prompts + 2048) * 4096 + attention * seen + prompts * picture

    several = {part.what: part.flops for part in planned("paper", "grpo", "train.updates=2")[0].work}
    assert several["score, student"] == pytest.approx(forwarded(256) + 2 * head * 2048 * 4096), "in whole groups"
    forward = forwarded(256)  # of 8 rollouts in micro-batches of 4 the first one forwards the prompt
    assert 2048 * 4096 * 4 > 2**26 / 151_936, "no logits are kept: four products with the head"
    update = parts["update"].flops - 4 * 2 * head * 2048 * 4096
    assert 3.6 * forward < update < 4 * forward, "checkpoints compute all but a layer's last product again"
    assert parts["update"].seconds == pytest.approx(parts["update"].flops / (8 * 989e12 * 0.4))
    assert told_tokens(settings, build_method("sdpo", {})) == 4096


@pytest.mark.parametrize(
    ("size", "sharding", "own", "scored", "told"),
    [
        (1, "none", 2, 2, 4), (2, "none", 2, 2, 4), (4, "none", 2, 2, 4), (8, "none", 2, 2, 4), (16, "none", 2, 2, 4),
        (1, "fsdp2", 2, 2, 4), (4, "fsdp2", 2, 2, 4), (8, "fsdp2", 2, 2, 4),
    ],
)  # fmt: skip
def test_prompts_of_a_step_by_hand(size: int, sharding: str, own: int, scored: int, told: int) -> None:
    """Of two groups of eight. In each, SDPO's first success is shown another rollout than its siblings are."""
    processes = 2 if sharding == "fsdp2" else 1
    sizes = ("train.prompts=2", f"train.processes={processes}", f"train.sharding={sharding}")
    settings = resolve("paper", "sdpo", 0, [*sizes, f"train.micro_batch={size}"])
    teacher, student = whole_teacher(settings, build_method("sdpo", {}), 100), whole_update(settings)
    alike = whole_step(settings, scored_at_once(settings))
    assert alike == whole_teacher(settings, build_method("rlsd", {}), 0)
    assert (student.prompts, alike.prompts, teacher.prompts) == (own, scored, told)
    assert teacher.pictures == scored and teacher.prompt == 4096 + 100
    assert teacher.rollouts == student.rollouts == alike.rollouts == 16
    alone = override(settings, ["train.shared_prefix=false"])
    assert whole_teacher(alone, build_method("sdpo", {}), 0).prompts == whole_update(alone).prompts == 16
    assert scored_at_once(alone).rollouts == settings.train.device_batch


@pytest.mark.parametrize(("sharding", "copies"), [("none", (3, 2)), ("fsdp2", (1, 1))])
def test_a_group_in_parts_holds_its_prompt_and_one_part(sharding: str, copies: tuple[int, int]) -> None:
    by_size = {
        n: planned("paper", "sdpo", f"train.micro_batch={n}", f"train.sharding={sharding}", gpu=400)[0] for n in (1, 8)
    }
    small, whole = by_size[1], by_size[8]
    one = line(small, "trained weights")
    assert (line(small, "gradients"), line(whole, "gradients")) == (copies[0] * one, copies[1] * one)
    tokens = {n: line(plan, "activations, text") for n, plan in by_size.items()}
    assert tokens[1] / tokens[8] == pytest.approx((4096 + 4096) / (4096 + 8 * 4096))
    assert line(small, "activations, vision") == line(whole, "activations, vision")
    waiting = 2 * 4096 * 147_456  # of the prompt in every layer, and their gradients
    repeated = 2 * 8192 * 4096 * 2  # of one rollout
    assert (line(small, "keys and values"), line(whole, "keys and values")) == (repeated + waiting, 8 * repeated)
    states = [(2 + 8) * 4096 * 4096 * 2, (16 + 8) * 4096 * 4096 * 2]  # the teacher's are those of the group
    assert line(small, "head") - states[0] == line(whole, "head") - states[1]
    work = [{part.what: part.flops for part in plan.work} for plan in (small, whole)]
    assert work[0] == pytest.approx(work[1])


def test_groups_that_do_not_divide_are_read_by_both_sides() -> None:
    settings = resolve("paper", "grpo", 0, ["train.prompts=3", "train.processes=2", "train.micro_batch=12"])
    assert micro_batch(settings).prompts == 2 and whole_update(settings).prompts == 4
    assert reading(settings).prompts == 2


@pytest.mark.parametrize("method", METHODS)
def test_shared_prompts_save_what_they_should(method: str) -> None:
    """Whole groups in a micro-batch, prompts as long as completions: 9 instead of 16 parts of the tokens."""
    alike = ("train.micro_batch=8", "model.attention=flash_attention_2")  # sdpa keeps more of rows that are padded
    shared, alone = (planned("paper", method, *alike, *more)[0] for more in ((), ("train.shared_prefix=false",)))
    assert 9 / 16 < line(shared, "activations, text") / line(alone, "activations, text") < 10 / 16
    assert line(shared, "activations, vision") * 8 == line(alone, "activations, vision")
    update = [next(part.flops for part in plan.work if part.what == "update") for plan in (shared, alone)]
    assert 0.5 < update[0] / update[1] < 0.66
    assert shared.memory.needed < alone.memory.needed


# --- the command line -----------------------------------------------------------------------------------------


def test_plan_and_dry_run_say_the_same_and_leave_nothing(tmp_path: Path) -> None:
    words = ("--preset", "paper", "--method", "rlsd")
    plan, dry = cli(tmp_path, "plan", *words), cli(tmp_path, "train", "--dry-run", *words)
    assert plan.returncode == dry.returncode == 0
    assert plan.stdout == dry.stdout
    for part in ("8,767,123,696", "64 micro-batches", "The memory does", "accelerate launch", "PFLOP"):
        assert part in plan.stdout
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("train.processes=3", "do not divide into 3"),
        ("model.path=org/unknown", "no config.json of model 'org/unknown'"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, pair: str, message: str) -> None:
    result = cli(tmp_path, "plan", "--preset", "paper", "--method", "rlsd", "--set", pair)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1 and message in result.stderr
