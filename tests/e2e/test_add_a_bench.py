"""docs/add-a-bench.md, followed to the letter in a copy of the repository: its files are written, its commands run."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.warm import cli, python_m

TEXT = (ROOT / "docs" / "add-a-bench.md").read_text()
PYTHON, YAML = (re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL) for kind in ("python", "yaml"))
COMMANDS = re.findall(r"^\$ uv run (.*)$", TEXT, re.MULTILINE)
# What makes the page's comparison of minutes a matter of seconds here.
TRAIN = ("steps=1", "prompts=2", "generations=2", "micro_batch=4", "max_completion_tokens=8")
TINY = (*(f"train.{setting}" for setting in TRAIN), "eval.limit=3", "eval.max_new_tokens=4")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("copy")
    # With its bytecode, but for what another process is just writing.
    for part in ("methods", "runners", "eval", "reports", "tests"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("*.pyc.*"))
    shutil.copy(ROOT / "cli.py", copy)
    file, test, registry = PYTHON
    (copy / "eval" / "benches" / "tally.py").write_text(file)
    (copy / "tests" / "unit" / "eval" / "benches" / "test_tally.py").write_text(test)
    (copy / "eval" / "tasks" / "tally.yaml").write_text(YAML[0])
    addition, line = registry.rstrip().split("\n\n")
    init = copy / "eval" / "benches" / "__init__.py"
    text = init.read_text()
    old = line.replace(", Tally()", "")
    assert f"\n{old} " in text, "the page shows another registry than there is"
    after = "from eval.benches.mmmu import MMMU\n"
    init.write_text(text.replace(old, line).replace(after, f"{after}{addition}\n"))
    said = ("I see 3", "so \\boxed{4}", "none")
    lines = (json.dumps({"id": f"mini_{n}", "response": text}) for n, text in enumerate(said, 1))
    (copy / "replies.jsonl").write_text("\n".join(lines))
    return copy


def _run(beginning: str, copy: Path, *settings: str) -> str:
    """A command of the page, without uv, which would resolve an environment."""
    (command,) = [c for c in COMMANDS if c.startswith(beginning)]
    words = shlex.split(re.sub(r"^--group \w+ ", "", command))
    more = [word for setting in settings for word in ("--set", setting)]
    if words[0] == "python":
        done = cli(copy, *words[2:], *more, main=python_m, root=copy)
    else:
        done = cli(copy, *words[1:], *more, root=copy)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def test_no_command_is_left_out() -> None:
    known = ("--group test python -m pytest", "cli.py eval", "cli.py grade", "cli.py sweep", "cli.py report")
    assert [c for c in COMMANDS if not c.startswith(known)] == []


def test_the_page_s_own_test_passes(copy: Path) -> None:
    assert "2 passed" in _run("--group test python -m pytest", copy)


def test_recorded_replies(copy: Path) -> None:
    assert re.search(r"^Tally \(mini\): .* over 3 questions, 67 % parsed, official rule, 37 rows without a reply",
                     _run("cli.py grade", copy))  # fmt: skip
    verdicts = [json.loads(line) for line in (copy / "verdicts.jsonl").read_text().splitlines()]
    assert [(v["id"], v["extracted"]) for v in verdicts] == [("mini_1", "3"), ("mini_2", "4"), ("mini_3", None)]


@pytest.mark.slow
def test_a_few_rows_on_the_embedded_model(copy: Path) -> None:
    assert re.search(r"^Tally \(mini\): .* over 8 questions", _run("cli.py eval", copy), re.MULTILINE)
    result = json.loads((copy / "runs" / "tally-mini" / "tally" / "result.json").read_text())
    assert set(result["scores"]) >= {"micro", "macro", "topic/one colour", "topic/two colours"}


@pytest.mark.slow
def test_a_run_is_evaluated_on_it_and_reported(copy: Path) -> None:
    _run("cli.py sweep", copy, *TINY)
    suite = copy / "runs" / "tally"
    settings = yaml.safe_load((suite / "grpo" / "seed0" / "settings.yaml").read_text())
    assert settings["eval"]["benches"] == ["mmmu", "mathvista", "mathvision", "zerobench", "wemath", "tally"]
    for run, step in (("base", "0"), ("grpo", "1")):
        assert (suite / run / "seed0" / "eval" / step / "tally" / "result.json").is_file()
    _run("cli.py report", copy)
    rows = (suite / "report" / "table2.csv").read_text().splitlines()
    assert [row for row in rows if row.startswith("ours,grpo,GRPO,tally,mini (3 questions),3,1,")]


def _rows_for_lm_eval() -> None:
    from lm_eval.tasks import TaskManager

    tasks = TaskManager(include_path="eval/tasks", include_defaults=False, metadata={"data": "mini"})
    print(len(tasks.load("tally")["tasks"]["tally"].eval_docs))


@pytest.mark.slow
def test_lm_evals_own_command_lists_it(copy: Path) -> None:
    done = cli(copy, main=_rows_for_lm_eval, root=copy)
    assert done.stdout.split()[-1:] == ["40"], done.stderr[-2000:]
