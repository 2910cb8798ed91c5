"""docs/add-a-method.md, followed to the letter: its files are written and its commands run as they stand there."""

import importlib.util
import json
import math
import re
import shlex
import shutil
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch
import yaml

from methods import Rollouts, Sibling, Task
from methods.words import context
from tests.support.paths import ROOT
from tests.support.warm import cli, python_m

TEXT = (ROOT / "docs" / "add-a-method.md").read_text()
PYTHON, YAML = (re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL) for kind in ("python", "yaml"))
COMMANDS = re.findall(r"^\$ (.*)$", TEXT, re.MULTILINE)
# What makes the sweep of the page, a comparison of minutes, a matter of seconds here.
TINY = ("steps=1", "prompts=2", "generations=2", "micro_batch=4", "max_completion_tokens=8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's folder: an empty place for the repository's root, and `mine` beside it."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "root").mkdir()
    mine = folder / "mine"
    mine.mkdir()
    (mine / "rlrt.py").write_text(PYTHON[0])
    (mine / "test_rlrt.py").write_text(PYTHON[1])
    (mine / "cepo.py").write_text(PYTHON[3])
    return folder


def _module(folder: Path, name: str = "rlrt") -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder / "mine" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(command: str, folder: Path, root: Path = ROOT, extra: tuple[str, ...] = ()) -> str:
    """A command of the page, without uv, which would resolve an environment."""
    words = shlex.split(re.sub(r"^uv run (--group \w+ )?", "", command))
    if words[0] == "python":
        done = cli(folder / "root", *words[2:], *extra, main=python_m)
    else:
        done = cli(folder / "root", *words[1:], *extra, root=root)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def _command(beginning: str) -> str:
    (found,) = [c for c in COMMANDS if c.removeprefix("uv run ").startswith(beginning)]
    return found


def test_no_command_is_left_out() -> None:
    known = ("--group test python -m pytest", "cli.py plan", "cli.py train", "cli.py show", "cli.py sweep")
    known += ("cli.py report", "cp ")
    assert all(c.removeprefix("uv run ").startswith(known) for c in COMMANDS)


def test_credit_on_values_worked_out_by_hand(folder: Path) -> None:
    """Other values than the page's: A = 1, lambda = 1, eps = 0.5; weights 1.2, 3 -> 1.5, 0.2 -> 0.5, then padding."""
    method = _module(folder).RLRT(mix=1.0, clip=0.5)
    student_BT = torch.tensor([[0.6, 0.6, 0.1, 1.0], [0.6, 0.6, 0.1, 0.5], [0.6, 0.6, 0.1, 0.5]]).log()
    teacher_BT = torch.tensor([[0.5, 0.2, 0.5, 0.5]]).log().expand(3, 4)
    mask_BT = torch.tensor([[1.0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]])
    rewards_B, advantages_B = torch.tensor([0.9, 0.1, 0.9]), torch.tensor([1.0, -1.0, 0.0])
    credit = method.credit(Rollouts(7, rewards_B, advantages_B, mask_BT, student_BT, {"sibling": teacher_BT}))
    expected_BT = torch.tensor([[1.2, 1.5, 0.5, 0.0], [-1.0] * 4, [0.0] * 4])
    torch.testing.assert_close(credit.advantages, expected_BT)
    # Of the seven tokens of the two right rollouts two are clipped; with A = 0 every weight is 1.
    assert credit.metrics["clip_rate"] == pytest.approx(2 / 7)
    assert credit.metrics["weight_mean"] == pytest.approx((1.2 + 3 + 0.2 + 4 * 1) / 7)


def test_what_its_teacher_is_told(folder: Path) -> None:
    method, task = _module(folder).RLRT(), Task("7", "3 + 4 = 7")
    group = [Sibling("right", 1.0), Sibling("wrong", 0.0), Sibling("also right", 1.0)]
    told = [method.contexts(task, group, i) for i in range(3)]
    assert told == [{"sibling": context("sibling", text)} for text in ("also right", "right", "right")]
    assert method.contexts(task, [Sibling("right", 1.0), Sibling("wrong", 0.0)], 0) == {}


def test_the_page_s_own_test_passes(folder: Path) -> None:
    assert "1 passed" in _run(_command("--group test python -m pytest"), folder)


@pytest.mark.slow
def test_plan_and_a_tiny_run(folder: Path) -> None:
    _run(_command("cli.py plan"), folder)
    _run(_command("cli.py train --method ../mine/rlrt"), folder)
    run = folder / "root" / "runs" / "trial" / "rlrt" / "seed0"
    info = json.loads((run / "run.json").read_text())
    assert (info["status"], info["label"], info["steps_done"]) == ("done", "RLRT", 2)
    assert yaml.safe_load((run / "settings.yaml").read_text())["params"] == {"mix": 0.5, "clip": 1.0, "right": 0.5}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    for row in rows:
        assert {"clip_rate", "weight_mean", "told", "gap", "loss", "accuracy"} <= set(row)
    assert "# student" in (run / "prompts.txt").read_text()
    tokens = pd.read_parquet(run / "tokens" / "step00001.parquet")
    wrong = tokens[tokens["reward"] == 0]
    assert (wrong["weight"] == 1).all()
    assert tokens["weight"].between(0.5, 1.5).all()
    assert "RLRT" in _run(_command("cli.py show"), folder)


def test_an_unknown_parameter_is_refused(folder: Path) -> None:
    command = _command("cli.py train --method ../mine/rlrt").replace("trial", "refused") + " --set params.clipp=1"
    with pytest.raises(AssertionError, match="unknown key 'clipp'"):
        _run(command, folder)
    assert not (folder / "root" / "runs" / "refused").exists()


@pytest.mark.slow
def test_the_comparison_at_tiny_size(folder: Path) -> None:
    extra = ("--no-eval", *(word for setting in TINY for word in ("--set", f"train.{setting}")))
    command = _command("cli.py sweep").replace("--seeds 0,1", "--seeds 0").replace("grpo,rlsd,", "")
    _run(command, folder, extra=extra)
    _run(_command("cli.py report"), folder)
    suite = folder / "root" / "runs" / "rlrt"
    runs = {p.parent.parent.name: json.loads(p.read_text()) for p in suite.glob("*/seed0/run.json")}
    assert {name: info["status"] for name, info in runs.items()} == {"rlrt": "done"}
    assert "RLRT" in (suite / "report" / "report.html").read_text()


@pytest.mark.slow
def test_moved_into_a_copy_of_the_repository(folder: Path) -> None:
    copy = folder / "copy"
    # With its bytecode, but for what another process is just writing.
    for part in ("methods", "runners", "eval", "reports"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("*.pyc.*"))
    shutil.copy(ROOT / "cli.py", copy)
    source, target = _command("cp ").split()[1:]
    shutil.copy(folder / "root" / source, copy / target)
    addition, registry = PYTHON[2].strip().split("\n\n")
    init = copy / "methods" / "__init__.py"
    (old,) = [line for line in init.read_text().splitlines() if line.startswith("METHODS:")]
    assert registry.replace(", RLRT)", ")") == old, "the page shows another registry than there is"
    text = init.read_text().replace(old, registry)
    init.write_text(text.replace("from methods.rlsd", f"{addition}\nfrom methods.rlsd"))
    (copy / "methods" / "variants" / "rlrt.yaml").write_text(YAML[0])
    assert "rlrt" in _run(_command("cli.py train --method rlrt@"), folder, root=copy).lower()


def test_two_contexts_by_hand(folder: Path) -> None:
    """A = 1, lambda = 1/2, eps = .2. The first rollout's group has a wrong answer: weights .6 / .5 = 1.2 and .1 / .4,
    clipped to .8. The second's has none, and its weights are RLSD's: .6 / .5 and .1 / .1."""
    method = _module(folder, "cepo").CEPO(decay=1_000_000)
    task, ones_B = Task("7"), torch.ones(2)
    assert method.contexts(task, [Sibling("so \\boxed{5}", 0.0), Sibling("\\boxed{7}", 1.0)], 1)["wrong"].text == "5"
    assert set(method.contexts(task, [Sibling("cut off", 0.0), Sibling("\\boxed{7}", 1.0)], 0)) == {"right"}
    probabilities = {"right": [[0.6, 0.1]] * 2, "wrong": [[0.5, 0.4]] * 2}
    teacher = {name: torch.tensor(p).log() for name, p in probabilities.items()}
    student_BT, told = torch.tensor([[0.9, 0.9], [0.5, 0.1]]).log(), torch.tensor([True, False])
    rollouts = Rollouts(
        1, ones_B, ones_B, torch.ones(2, 2), student_BT, teacher, told={"right": told | True, "wrong": told}
    )
    credit = method.credit(rollouts)
    torch.testing.assert_close(credit.advantages, torch.tensor([[1.1, 0.9], [1.1, 1.0]]), atol=1e-5, rtol=0)
    assert credit.metrics["contrasted"] == 0.5
    assert credit.metrics["contrast"] == pytest.approx((math.log(1.2) + math.log(4)) / 2, abs=1e-5)


@pytest.mark.slow
def test_a_tiny_run_with_two_contexts(folder: Path) -> None:
    _run(_command("cli.py train --method ../mine/cepo"), folder)
    run = folder / "root" / "runs" / "contrast" / "cepo" / "seed0"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all({"contrast", "contrasted", "gap_right", "gap_wrong", "told"} <= set(row) for row in rows)
    declared = json.loads((run / "run.json").read_text())["metrics"]
    assert declared["contrast"]["unit"] == "nats" and "gap_wrong" in declared
    completions = pd.concat(pd.read_parquet(p) for p in sorted((run / "completions").glob("*.parquet")))
    assert completions["told_right"].notna().all() and {"told_wrong", "reward"} <= set(completions.columns)
    if completions["told_wrong"].notna().any():
        assert "# teacher: wrong" in (run / "prompts.txt").read_text()
