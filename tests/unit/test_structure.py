"""Rules of the house that a machine can hold. Who imports whom is held by import-linter: see pyproject.toml."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from eval.benches import BENCHES
from methods import METHODS
from tests.support.paths import ROOT

HOUSES = ("methods", "eval", "runners", "reports")
SOURCES = sorted(p.relative_to(ROOT) for house in HOUSES for p in (ROOT / house).rglob("*.py"))
TESTS = sorted(p.relative_to(ROOT) for p in (ROOT / "tests").rglob("*.py"))
CLI = Path("cli.py")

# Tests in tests/unit that are of no room.
OF_THE_WHOLE = {"test_structure", "test_docs"}

# Modules that no test of their room is named after or imports, and the test that runs them.
COVERED_BY = {
    "eval/benches/mathvision.py": "tests/unit/eval/benches/test_benches.py",
    "eval/core/cells.py": "tests/unit/runners/data/test_rows_bad.py",
    "eval/core/terminal.py": "tests/e2e/test_cli.py",
    "eval/engines/decoding/decoder_layer.py": "tests/unit/eval/engines/decoding/test_decode.py",
    "eval/engines/hf.py": "tests/e2e/test_eval.py",
    "eval/engines/load.py": "tests/e2e/test_eval.py",
    "eval/engines/model_folder.py": "tests/faults/test_models.py",
    "eval/engines/requests.py": "tests/e2e/test_eval.py",
    "eval/engines/vllm.py": "tests/e2e/test_vllm.py",
    "eval/grading/choice.py": "tests/unit/eval/grading/test_reader.py",
    "eval/grading/equal.py": "tests/unit/eval/grading/test_reader.py",
    "eval/grading/numbers.py": "tests/unit/eval/grading/test_reader.py",
    "eval/grading/phrases.py": "tests/unit/eval/grading/test_reader.py",
    "eval/grading/sentence.py": "tests/unit/eval/grading/test_reader.py",
    "eval/grading/spelling.py": "tests/unit/eval/grading/test_reader.py",
    "eval/grading/symbolic.py": "tests/unit/runners/data/test_rewards.py",
    "eval/grading/units.py": "tests/unit/eval/grading/test_reader.py",
    "eval/leakage/mention_en.py": "tests/unit/eval/leakage/test_mention.py",
    "eval/leakage/mention_fr.py": "tests/unit/eval/leakage/test_mention.py",
    "eval/leakage/mention_zh.py": "tests/unit/eval/leakage/test_mention.py",
    "eval/pipeline/grade_file.py": "tests/e2e/test_grade.py",
    "eval/pipeline/lm_tasks.py": "tests/e2e/test_lm_tasks.py",
    "eval/pipeline/regrade.py": "tests/e2e/test_grade.py",
    "eval/settings.py": "tests/e2e/test_eval.py",
    "eval/tasks/config.py": "tests/e2e/test_lm_eval_command.py",
    "methods/base.py": "tests/unit/methods/test_methods_golden.py",
    "reports/figures/names.py": "tests/unit/reports/figures/test_scatter.py",
    "reports/findings/leak_sentences.py": "tests/unit/reports/sections/test_verdict.py",
    "reports/findings/table.py": "tests/unit/reports/writers/test_contents.py",
    "methods/checked.py": "tests/faults/test_plugins.py",
    "reports/sections/about.py": "tests/unit/reports/writers/test_contents.py",
    "reports/sections/differences.py": "tests/unit/reports/findings/test_differences.py",
    "reports/sections/runs.py": "tests/unit/reports/writers/test_contents.py",
    "reports/sections/section.py": "tests/unit/reports/writers/test_contents.py",
    "reports/suite/records.py": "tests/unit/reports/suite/test_read.py",
    "reports/writers/command.py": "tests/e2e/test_readme.py",
    "runners/credit/command.py": "tests/e2e/test_cli.py",
    "runners/credit/groups.py": "tests/e2e/test_leaks.py",
    "runners/credit/run.py": "tests/e2e/test_leaks.py",
    "runners/check/command.py": "tests/e2e/test_cli.py",
    "runners/data/columns.py": "tests/unit/runners/data/test_training.py",
    "runners/data/command.py": "tests/e2e/test_filter.py",
    "runners/data/filter.py": "tests/e2e/test_filter.py",
    "runners/data/image_cache.py": "tests/unit/runners/rollout/test_sampler.py",
    "runners/embedded/command.py": "tests/e2e/test_cli.py",
    "runners/embedded/muon.py": "tests/unit/runners/embedded/test_base_model.py",
    "runners/forward/fsdp.py": "tests/unit/runners/forward/test_split_group_sharded.py",
    "runners/probe/command.py": "tests/e2e/test_cli.py",
    "runners/probe/scored.py": "tests/e2e/test_leaks.py",
    "runners/probe/subject.py": "tests/unit/runners/probe/test_probe.py",
    "runners/probe/training.py": "tests/unit/runners/probe/test_probe.py",
    "runners/rollout/multinomial.py": "tests/unit/runners/rollout/test_sampler.py",
    "runners/run/model.py": "tests/unit/runners/embedded/test_base_model.py",
    "runners/run/options.py": "tests/e2e/test_cli.py",
    "runners/speed/command.py": "tests/e2e/test_bench_speed.py",
    "runners/speed/run.py": "tests/e2e/test_bench_speed.py",
    "runners/speed/steps.py": "tests/e2e/test_bench_speed.py",
    "runners/speed/stock.py": "tests/unit/runners/speed/test_speed.py",
    "runners/theory/command.py": "tests/e2e/test_cli.py",
    "runners/train/contexts.py": "tests/unit/methods/test_methods_golden.py",
    "runners/train/credit.py": "tests/unit/methods/test_methods_golden.py",
    "runners/train/distill.py": "tests/unit/methods/test_methods_golden.py",
    "runners/train/patches.py": "tests/e2e/test_bench_speed.py",
    "runners/train/recorder.py": "tests/e2e/test_runs.py",
    "runners/train/run.py": "tests/e2e/test_runs.py",
    "runners/train/trainer.py": "tests/unit/methods/test_methods_golden.py",
    "runners/train/trl_batch.py": "tests/unit/methods/test_methods_golden.py",
    "runners/train/trl_config.py": "tests/e2e/test_equivalence.py",
}

# Files that touch private names of a library, and in which version they were read. An upgrade reads them again.
PRIVATE = {
    "eval/engines/decoding/decode_step.py": "transformers==5.17.0",
    "runners/data/cache.py": "transformers==5.17.0",
    "runners/forward/attention_kernels.py": "torch==2.13.0",
    "runners/forward/packing.py": "transformers==5.17.0",
    "runners/forward/split_group.py": "transformers==5.17.0",
    "runners/rollout/sampler.py": "transformers==5.17.0",
    "runners/speed/measure.py": "torch==2.13.0",
    "runners/speed/stock.py": "trl==1.16.0",
    "runners/train/trainer.py": "trl==1.16.0",
}
NO_SECRET = {"_replace", "_asdict", "_fields", "_exit"}  # of named tuples, and os._exit: documented


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse((ROOT / file).read_text())


def dotted(file: Path) -> str:
    """runners/run/config.py -> runners.run.config"""
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imported(file: Path) -> frozenset[str]:
    """Every module that the file imports, and whatever it imports from one, dotted."""
    found = set[str]()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


# --- sizes ----------------------------------------------------------------------------------------------------


def test_files_are_short() -> None:
    lines = {str(file): len((ROOT / file).read_text().splitlines()) for file in (*SOURCES, *TESTS, CLI)}
    assert {file: n for file, n in lines.items() if n > 350} == {}


def test_functions_are_short() -> None:
    def lengths(file: Path) -> Iterator[tuple[str, int]]:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{file}: {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1

    assert {name: n for file in (*SOURCES, *TESTS, CLI) for name, n in lengths(file) if n > 100} == {}


def test_rooms_are_small() -> None:
    modules = Counter(str(file.parent) for file in SOURCES if file.name != "__init__.py")
    assert {room: n for room, n in modules.items() if n > 12} == {}


# --- names ----------------------------------------------------------------------------------------------------


def test_no_module_is_a_dump() -> None:
    assert [str(file) for file in (*SOURCES, *TESTS) if "util" in file.stem] == []


@pytest.mark.parametrize("house", HOUSES)
def test_no_class_name_stands_for_two_things(house: str) -> None:
    names = Counter(
        node.name
        for file in SOURCES
        if file.parts[0] == house
        for node in tree(file).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, n in names.items() if n > 1] == []


def literals(file: Path, names: object) -> list[str]:
    """Where the file writes out one of `names`."""
    return [
        f"{file}:{node.lineno} {node.value!r}"
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names  # type: ignore[operator]
    ]


@pytest.mark.parametrize(
    ("names", "rooms"), [(BENCHES, ("eval/benches", "eval/tasks")), (METHODS, ("methods",))], ids=["benches", "methods"]
)
def test_only_its_own_room_names_one(names: object, rooms: tuple[str, ...]) -> None:
    """Everything else iterates the registry; the paper's table is in its own words."""
    allowed = (*map(Path, rooms), Path("reports/suite/paper.py"))
    named = [
        where
        for file in (*SOURCES, CLI)
        if not any(file.is_relative_to(room) for room in allowed)
        for where in literals(file, names)
    ]
    assert named == []


# --- tests mirror the source ----------------------------------------------------------------------------------


@cache
def mirrored(test: Path) -> list[Path]:
    """The modules that tests/unit/<house>/<room>/test_<module>[_<aspect>].py is named after."""
    room, name = test.relative_to("tests/unit").parent, test.stem.removeprefix("test_")
    return [file for file in SOURCES if file.parent == room and re.fullmatch(rf"{file.stem}(_\w+)?", name)]


@cache
def unit_tests() -> list[Path]:
    found = [file for file in TESTS if file.is_relative_to("tests/unit") and file.name.startswith("test_")]
    return [file for file in found if file.stem not in OF_THE_WHOLE]


def test_every_unit_test_stands_where_its_module_does() -> None:
    """Or is named after its room."""
    of_room = [test for test in unit_tests() if re.match(rf"test_{test.parent.name}(_|$)", test.stem)]
    assert [str(test) for test in unit_tests() if not mirrored(test) and test not in of_room] == []


def in_its_room(module: Path) -> bool:
    """Whether a test of the module's room is named after it, or imports it."""
    tests = [test for test in unit_tests() if test.parent == Path("tests/unit") / module.parent]
    return any(module in mirrored(test) or dotted(module) in imported(test) for test in tests)


@cache
def reached(name: str) -> frozenset[str]:
    """Our modules that the module `name` imports, through whatever others."""
    known = {dotted(file): file for file in (*SOURCES, *TESTS, CLI)}
    found, waiting = set[str](), [name]
    while waiting:
        for other in imported(known[waiting.pop()]) & known.keys() - found:
            found.add(other)
            waiting.append(other)
    return frozenset(found)


def named_by_a_task(module: Path) -> bool:
    """Whether lm-eval loads the module, for a yaml beside it."""
    return any(f"!function {module.stem}." in task.read_text() for task in (ROOT / module.parent).glob("*.yaml"))


def test_every_module_has_its_test() -> None:
    modules = [file for file in SOURCES if file.name != "__init__.py" and not in_its_room(file)]
    assert sorted(map(str, modules)) == sorted(COVERED_BY)
    by_import = [file for file in modules if not named_by_a_task(file)]
    assert [f for f in map(str, by_import) if dotted(Path(f)) not in reached(dotted(Path(COVERED_BY[f])))] == []


# --- private names of libraries -------------------------------------------------------------------------------


def private_names(file: Path) -> set[str]:
    """Names with one underscore in front that the file takes from elsewhere: imports, attributes, `super()._x`, also
    those that `getattr` asks for by a literal. What the file itself defines is its own, but for what it calls above."""
    own = {node.name for node in ast.walk(tree(file)) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    taken = set[str]()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            of_self = isinstance(node, ast.Name) or (isinstance(node.value, ast.Name) and node.value.id == "self")
            own |= {node.id if isinstance(node, ast.Name) else node.attr} if of_self else set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith((*HOUSES, "tests")):
            taken |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Attribute):
            above = isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "super"
            taken |= {node.attr} if above or node.attr not in own else set()
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr", "setattr"):
            taken |= {str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)}
    return {name for name in taken if re.match(r"_[a-zA-Z]", name)} - NO_SECRET


def test_private_names_are_touched_where_it_is_said() -> None:
    touched = {str(file): names for file in (*SOURCES, CLI) if (names := private_names(file))}
    assert {file: names for file, names in touched.items() if file not in PRIVATE} == {}
    assert [file for file in PRIVATE if file not in touched] == [], "nothing private is left there"


def test_private_names_were_read_in_the_pinned_version() -> None:
    pins = (ROOT / "pyproject.toml").read_text()
    assert [file for file, version in PRIVATE.items() if f'"{version}"' not in pins] == []


# --- the rest -------------------------------------------------------------------------------------------------


def test_methods_depend_on_torch_alone() -> None:
    known = {"methods", "torch", "pydantic", "math", "collections", "dataclasses", "types", "typing", "zlib"}
    known |= {"inspect", "re", "traceback"}  # how a broken hook is told
    for file in (ROOT / "methods").glob("*.py"):
        assert {name.partition(".")[0] for name in imported(file.relative_to(ROOT))} <= known, file.name


def test_nobody_imports_the_command_line() -> None:
    assert [str(file) for file in SOURCES if "cli" in imported(file)] == []


def test_these_start_without_torch() -> None:
    modules = ("eval.benches", "eval.settings", "runners.run.config", "reports.writers.folder", "cli")
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_readme_leads_with_the_two_commands_and_is_short() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    commands = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    assert commands[:2] == [
        "python3 -m pip install uv && uv run cli.py demo",
        "python3 -m pip install uv && uv run --group test pytest",
    ]
