"""What settings, presets and options may not be: each is refused in one line, before anything is made."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval.core.errors import UserError
from runners.run.config import Settings, dotted, resolve

TRAIN = ("train", "--method", "grpo")
# Of each setting, what it may not be.
VALUES = {
    "train.steps": ("true", "0", "-1", "1.5", ".nan", "[]", "null", "9999999999999"),
    "train.generations": ("1", "false"),
    "train.micro_batch": ("0", "5"),
    "train.processes": ("0", "1000000"),
    "train.learning_rate": ("-1", ".inf", ".nan", "fast", "true", "null"),
    "train.schedule": ("sinus", "1", "null"),
    "train.weight_decay": ("-0.1", ".inf"),
    "train.adam_betas": ("[0.9]", "[1, 0.9]", "[-0.1, 0.9]", "0.9", "[.nan, .nan]"),
    "train.max_grad_norm": ("-1", ".nan"),
    "train.epsilon": ("-0.2", ".inf"),
    "train.epsilon_high": ("-1",),
    "train.dual_clip": ("1", "0", "-3", ".inf"),
    "train.kl": ("-1", ".nan"),
    "train.temperature": ("0", "-1", ".inf", ".nan"),
    "train.top_p": ("0", "2", "-1", ".nan"),
    "train.top_k": ("-5", "1.5"),
    "train.report_to": ("[nobody]", "nobody", "[comet_ml]"),
    "train.aggregation": ("median",),
    "train.reward": ("[]",),
    "train.sharding": ("fsdp",),
    "train.vllm": ("maybe",),
    "model.path": ("/nowhere", "null", "'a\\tb'", '"a\\0b"', "''"),
    "model.dtype": ("int8",),
    "model.attention": ("flash", "1"),
    "model.max_pixels": ("0", "-1", "true"),
    "model.lora": ("{rank: 0, alpha: 1}", "{rank: 2}", "{rank: 2, alpha: 4, bogus: 1}", "3"),
    "data.source": ("/nowhere.jsonl", "{}", "null"),
    "eval.benches": ("[mmlu]", "[]", "[mmmu, mmmu]"),
    "eval.temperature": ("-1", ".nan", ".inf"),
    "eval.top_p": ("0", "1.5"),
    "eval.samples": ("0", "true"),
    "eval.engine": ("tgi",),
    "eval.device": ("toaster", "cuda:x"),
    "eval.seed": ("-1", "4294967296"),
    "eval.judge.url": ("http://me:secret@host/v1", "http://host/v1?key=secret", "http://token@host"),
    "eval.judge.timeout_s": ("0", ".inf"),
    "eval.judge.requests_at_once": ("0", "100000"),
    "seed": ("1",),
    "method": ("rlsd",),
    "preset": ("paper",),
    "train.stpes": ("1",),
    "colour": ("red",),
    "params.nothing": ("1",),
    "train": ("5", "[1]"),
}
PARAMS = {
    "rlsd": ("mix=2", "mix=.nan", "decay=0", "clip=-0.1", "sync=0", "sync=1.5", "synk=1"),
    "opsd": ("beta=2", "beta=-1", "clip=0", "topk=0", "support=some", "told=everything", "weights=snapshot"),
    "sdpo": ("alpha=7", "rate=5", "rate=-1", "importance=0", "success=.nan"),
    "grpo_opsd": ("gamma=-1", "gamma=.inf", "form=other"),
}
NO_YAML = (
    "x=[",
    "x={",
    "train.steps=\t[",
    "x=!!python/name:os.system",
    "x=*a",
    "x=&a [*a",
    f"x={'9' * 5000}",
    f"x={'[' * 1000}",
)
PRESETS: dict[str, str | bytes] = {
    "itself": "delta_to: {folder}/itself.yaml",
    "circle": "delta_to: {folder}/other.yaml",
    "other": "delta_to: {folder}/circle.yaml",
    "number": "delta_to: 3",
    "list": "delta_to: [cpu]",
    "nobody": "delta_to: nobody",
    "sequence": "- 1",
    "text": "hello",
    "empty": "",
    "utf16": "delta_to: cpu".encode("utf-16"),
    "binary": bytes(range(256)),
    "deep": "a: " + "[" * 1000,
    "digits": f"delta_to: cpu\ntrain: {{steps: {'9' * 5000}}}",
    "torn": "train: {steps: 3",
    "unknown": "delta_to: cpu\ntrain: {stepps: 3}",
    "keys": "delta_to: cpu\n1: 2",
    "method": "delta_to: cpu\nmethod: rlsd",
}
WORDS = [
    "train",
    "train --method nobody",
    "train --method rlsd@nobody",
    "train --method grpo --seed -1",
    "train --method grpo --seed many",
    "train --method grpo --seed 4294967296",
    "train --method grpo --preset nobody",
    "train --method grpo --preset ../cpu",
    "train --method grpo --set steps",
    "train --method grpo --set =3",
    *(f"train --method grpo --suite {name}" for name in ("../x", "/x", "a/b", ".", "..", "[/red]", ":X:", ".hidden")),
    "sweep --seeds 0,0",
    "sweep --seeds a",
    "sweep --seeds -1",
    "sweep --methods nobody",
    "sweep --methods rlsd@x*",
    "sweep --jobs -1",
    "sweep --jobs 100000",
    "sweep --set train.steps=0",
    "sweep --set model.path=/nowhere",
    "demo --jobs -1",
    "demo --suite ../x",
    "plan --method nobody",
    "plan --method grpo --mfu 7",
    "plan --method grpo --set model.path=/nowhere",
    "plan --method grpo --set train.steps=99999999999",
    "eval",
    "eval --run nowhere",
    "eval --model embedded --run nowhere",
    "eval --model /nowhere",
    "eval --model embedded --bench mmuu",
    "eval --model embedded --bench mmmu,mmmu",
    "eval --model embedded --data /nowhere.jsonl",
    "eval --model embedded --set eval.data_parallel=1000",
    "eval --model embedded --set eval.tensor_parallel=2",
    "eval --model embedded --set eval.judge.url=http://me:secret@host/v1",
    "grade --bench mmlu --replies a --out b",
    "grade --bench mmmu --replies nowhere --data mini --out b",
    "grade --bench mmmu --replies nowhere --data mini --out b --rule mine",
    "report nowhere",
    "report .",
    "list nowhere",
    "list .",
    "show nowhere",
    "show .",
    "data filter --out kept.parquet --k 0",
    "data filter --out kept.parquet --model /nowhere",
    "data filter --out kept.parquet --data /nowhere.jsonl",
    "data filter --out kept.parquet --temperature -1",
    "data filter --out kept.parquet --keep-max-pass-rate 2",
    "compare nowhere elsewhere",
    "replies nowhere",
    "paper fig5b nowhere",
    "paper fig9 .",
    "probe --run nowhere",
    "probe --run . --probes mind",
    "probe --run nowhere --items 1",
    "credit --run nowhere",
    "credit --run nowhere --text x",
    "credit --run nowhere --groups 0",
    "theory --run nowhere",
    "theory --items 0",
    "watch nowhere --once",
    "watch . --once",
    "doctor --preset nobody",
    "exact nowhere",
    "exact .",
    "exact . --problems 0",
    "base --told nobody",
    "base --start /nowhere --out made",
    "base --card --out nowhere",
    "report . --filter method",
    "report nowhere --row x",
    "report nowhere --filter colour=red",
    "methods extra",
    "demo --set train.steps=0",
    "data filter --out kept.txt",
    "data filter --out kept.parquet --limit 0",
    "data filter --out kept.parquet --engine tgi",
    "eval --model embedded --at 3",
    "eval --run nowhere --out x",
    "eval --model embedded --regrade --out nowhere",
    "eval --model embedded --set eval.chat=3",
    "eval --model embedded --set eval.chat.system=[]",
    "sweep --suite-file nowhere",
    "sweep --suite-file /nowhere.yaml",
    "plan --method grpo --gpu-memory 0",
    "grade --bench mmmu --replies nowhere --data /nowhere --out b",
    "nobody",
    "train --nobody",
]
# A value with a space, and so no words.
NO_TEMPLATE = ("eval --model embedded --bench mmmu --out made", "train --method grpo")
Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def _no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval's 14,000 tasks, among which none is misspelt as here: to read them takes ten seconds."""
    monkeypatch.setattr("eval.pipeline.lm_tasks._manager", lambda index: SimpleNamespace(task_index={}))


@pytest.mark.parametrize("pair", [f"{key}={value}" for key, values in VALUES.items() for value in values])
def test_settings(refused: Refused, pair: str) -> None:
    assert "secret" not in refused(*TRAIN, "--set", pair)


@pytest.mark.parametrize(("method", "pair"), [(method, pair) for method, pairs in PARAMS.items() for pair in pairs])
def test_parameters_of_methods(refused: Refused, method: str, pair: str) -> None:
    assert f"params of {method}" in refused("train", "--method", method, "--set", f"params.{pair}")


@pytest.mark.parametrize("pair", NO_YAML, ids=lambda pair: pair[:12])
def test_no_yaml(refused: Refused, pair: str) -> None:
    assert "is not YAML" in refused(*TRAIN, "--set", pair)


@pytest.mark.parametrize("name", PRESETS)
def test_presets(refused: Refused, tmp_path: Path, name: str) -> None:
    for file, content in PRESETS.items():
        text = content if isinstance(content, bytes) else content.replace("{folder}", str(tmp_path)).encode()
        (tmp_path / f"{file}.yaml").write_bytes(text)
    assert "--set" not in refused(*TRAIN, "--preset", str(tmp_path / f"{name}.yaml"))


@pytest.mark.parametrize("words", WORDS)
def test_options(refused: Refused, words: str) -> None:
    assert "secret" not in refused(*words.split())


@pytest.mark.parametrize("words", NO_TEMPLATE)
def test_a_template_without_the_option(refused: Refused, words: str) -> None:
    assert "has no depth" in refused(*words.split(), "--set", "model.template={depth: 3}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--method", "ppo"], "unknown method 'ppo': choose one of grpo"),
        (["train", "--method", "rlsd", "--preset", "huge"], "unknown preset 'huge'"),
        (["train", "--method", "rlsd", "--set", "train.stepps=3"], "unknown key 'train.stepps'"),
        (["train", "--method", "rlsd", "--set", "params.clipp=3"], "unknown key 'clipp'"),
        (["train", "--method", "rlsd", "--set", "train.updates=5"], "do not divide into"),
        (["sweep", "--seeds", "one"], "--seeds 'one'"),
        (["eval", "--bench", "mmuu", "--model", "embedded"], "unknown bench 'mmuu'"),
        (["eval"], "say what to evaluate"),
        (["eval", "--run", "nowhere"], "nowhere is not a run"),
        (["eval", "--model", "./nowhere"], "./nowhere: no such model folder"),
        (["report", "nowhere"], "nowhere"),
        (["list", "nowhere"], "no runs below nowhere"),
        (["show", "nowhere"], "nowhere is not a run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_said(refused: Refused, words: list[str], message: str) -> None:
    assert message in refused(*words)


def test_who_is_to_blame_and_what_was_meant(refused: Refused, tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text("delta_to: cpu\ntrain: {temperatur: 1}\n")
    line = refused(*TRAIN, "--preset", str(preset), "--set", "train.steps=3")
    assert line == f"error: preset {preset}: unknown key 'train.temperatur', did you mean train.temperature?"
    assert refused(*TRAIN, "--set", "steps=3").endswith("did you mean train.steps?")
    assert "params of rlsd: unknown key 'synk', did you mean sync?" in refused(
        "train", "--method", "rlsd", "--set", "params.synk=3"
    )


def test_a_learning_rate_of_nothing_is_a_control() -> None:
    assert resolve("cpu", "grpo", 0, ["train.learning_rate=0"]).train.learning_rate == 0


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([*dotted(Settings)]), ANYTHING)
def test_whatever_a_setting_is_given(key: str, value: Any) -> None:
    """It is taken, and means the same when a run reads it again, or it is refused in one line."""
    line = ""
    try:
        written = yaml.safe_dump(value, allow_unicode=False).removesuffix("...\n")
        taken = resolve("cpu", "grpo", 0, [f"{key}={written}"])
        assert Settings.model_validate(yaml.safe_load(yaml.safe_dump(taken.model_dump(mode="json")))) == taken
    except UserError as error:
        line = str(error)
    assert "\n" not in line
