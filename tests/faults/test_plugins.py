"""Methods outside the repository that break their contract: one line with file, line and hook."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from methods import METHODS, Credit, Method, Rollouts, Sibling, Task, Tokens
from methods.base import Context, Route, Teacher
from methods.checked import HookError, checked

HEAD = "from dataclasses import dataclass\nfrom methods import *\nfrom methods.base import *\nimport torch\n"
CLASS = '@dataclass(frozen=True)\nclass Mine(Method):\n    name = "mine"\n    label = "Mine"\n'
AT_IMPORT = {
    "syntax": "class Mine(:\n",
    "import": "import nobody_has_this\n",
    "name": "Mine = Nobody\n",
    "raises": "raise ValueError('no\\nway')\n",
    "exit": "raise SystemExit(0)\n",
    "function": "def Mine(): ...\n",
    "no method": "class Mine: ...\n",
    "another": CLASS.replace("class Mine", "class Other"),
    "no decorator": CLASS.partition("\n")[2],
    "not frozen": CLASS.replace("(frozen=True)", ""),
    "no name": CLASS.replace('    name = "mine"\n', ""),
    "no label": CLASS.replace('"Mine"', '""'),
    "teachers": CLASS + "    teachers = ['initial']\n",
    "teacher kind": CLASS + "    @property\n    def teachers(self): return {'a': Teacher('best')}\n",
    "teacher rate": CLASS + "    @property\n    def teachers(self): return {'a': Teacher('ema', rate=5)}\n",
    "teacher every": CLASS + "    @property\n    def teachers(self): return {'a': Teacher('snapshot')}\n",
    "flag": CLASS + "    distils = 1\n",
    "flag raises": CLASS + "    @property\n    def distils(self): return 1 / 0\n",
    "clip": CLASS + "    importance_clip = -1.0\n",
    "metrics": CLASS + "    metrics = {'a b': Metric('A')}\n",
}
Refused = Callable[..., str]


@pytest.mark.parametrize("fault", AT_IMPORT)
def test_a_file_that_is_no_method(refused: Refused, tmp_path: Path, fault: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text((HEAD if fault != "no method" else "") + AT_IMPORT[fault])
    line = refused("train", "--method", f"{file}:Mine")
    assert str(file) in line
    if fault in ("syntax", "import", "name", "raises", "exit"):
        assert f"{file}:5:" in line


B, T, V, N = 4, 3, 5, 6
ROLLOUTS = Rollouts(1, torch.ones(B), torch.ones(B), torch.ones(B, T))
LOGITS = torch.zeros(N, V, requires_grad=True)
of_n = torch.zeros(N)
TOKENS = Tokens(1, of_n, of_n, of_n, of_n, of_n, of_n, {})
HOOKS = {
    "contexts": lambda m: m.contexts(Task("1"), [Sibling("a", 1.0)], 0),
    "route": lambda m: m.route(ROLLOUTS),
    "asks_teacher": lambda m: m.asks_teacher(1, torch.ones(B)),
    "credit": lambda m: m.credit(ROLLOUTS),
    "distill": lambda m: m.distill(LOGITS, {"a": LOGITS.detach()}, TOKENS),
}
GIVEN = {
    "contexts": [None, [], "text", {"a": "text"}, {"a": Context(3)}],  # type: ignore[arg-type]
    "route": [
        None,
        torch.ones(B),
        Route(torch.ones(B)),
        Route(None, torch.ones(B + 1, dtype=torch.bool)),
        Route([True]),
    ],  # type: ignore[arg-type]
    "asks_teacher": [
        None,
        True,
        torch.ones(B),
        torch.ones(B + 1, dtype=torch.bool),
        torch.ones(B, T, dtype=torch.bool),
    ],
    "credit": [
        None,
        torch.ones(B),
        *(Credit(torch.ones(shape)) for shape in ((B + 1,), (B, T + 1), (T, B), (1,), ())),
        Credit([1.0] * B),  # type: ignore[arg-type]
        Credit(torch.ones(B, dtype=torch.long)),
        Credit(torch.ones(B), weights_BT=torch.ones(B)),
        *(
            Credit(torch.ones(B), metrics)
            for metrics in ({"a": "text"}, {"a": torch.ones(2)}, {"a": float("nan")}, {3: 1.0})
        ),  # type: ignore[dict-item]
        Credit(torch.ones(B), {"reward": 1.0}),
        Credit(torch.ones(B), state={"a": 1}),  # type: ignore[dict-item]
    ],
    "distill": [None, 0.0, LOGITS, LOGITS.sum(), of_n, LOGITS.sum(1)[1:]],
}


@pytest.mark.parametrize(("hook", "i"), [(hook, i) for hook, given in GIVEN.items() for i in range(len(given))])
def test_what_a_hook_may_not_give(hook: str, i: int) -> None:
    kind = type("Mine", (Method,), {"name": "mine", "label": "Mine", hook: lambda *_: GIVEN[hook][i]})
    with pytest.raises(HookError, match=rf"\.py:\d+: {hook} gives|names") as told:
        HOOKS[hook](checked(kind(), {"reward"}))
    assert "\n" not in str(told.value)


def test_a_hook_that_raises_is_told_by_its_line(tmp_path: Path, refused: Refused) -> None:
    file = tmp_path / "mine.py"
    file.write_text(HEAD + CLASS + "    def credit(self, rollouts):\n        lost = {}\n        return lost['it']\n")
    line = refused(
        "train", "--method", f"{file}:Mine", "--set", "train.steps=1", "--set", "train.max_completion_tokens=2"
    )
    assert line == f"error: {file}:11: credit: KeyError: 'it'"


@pytest.mark.parametrize("name", METHODS)
def test_our_own_keep_to_it(name: str) -> None:
    method = checked(METHODS[name]())
    assert isinstance(method.credit(ROLLOUTS) if not method.credit_uses_teacher else None, Credit | None)
    assert all(isinstance(teacher, Teacher) for teacher in method.teachers.values())
