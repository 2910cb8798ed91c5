"""A method's hooks, held to their contract: what breaks it is told by file, line and hook as the harness takes it."""

import math
import re
import traceback
from collections.abc import Collection, Mapping, Sequence
from inspect import getsourcefile, getsourcelines
from typing import Any, cast

import torch
from torch import Tensor

from methods.base import Context, Credit, Method, Metric, Rollouts, Route, Sibling, Task, Teacher, Tokens

FLAGS = ("policy_gradient", "credit_uses_teacher", "credit_uses_entropy", "distils", "credit_by_row")


class HookError(Exception):
    """A hook raised, or gave something else than the contract says. One line for the method's author."""


def checked(method: Method, reserved: Collection[str] = ()) -> Method:
    """The method, whose hooks raise HookError for what breaks their contract; so does this call for its declarations.

    `reserved`: names of metrics that are the harness's.
    """
    return cast(Method, _Checked(method, reserved))


class _Checked:
    """Everything but the hooks is the method's own."""

    def __init__(self, method: Method, reserved: Collection[str]) -> None:
        self._method, self._reserved = method, reserved
        for name in FLAGS:
            self._require(name, isinstance(self._call(name), bool), "is no bool")
        clip = self._call("importance_clip")
        self._require("importance_clip", clip is None or (isinstance(clip, float | int) and clip > 0), "is not above 0")
        teachers, metrics = self._call("teachers"), self._call("metrics")
        named = _maps_to(Teacher, teachers) and all(map(_is_name, teachers))
        self._require("teachers", named, "is no mapping of names to Teacher")
        self._require("metrics", _maps_to(Metric, metrics), "is no mapping of names to Metric")
        self._names(metrics, "metrics")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        found = self._call("contexts", task, group, own)
        self._require(
            "contexts", _maps_to(Context, found), f"gives {_kind(found)}, and not a mapping of names to Context"
        )
        for context in found.values():
            text = isinstance(context.words, str) and isinstance(context.text, str)
            self._require("contexts", text, "gives a Context whose words are no text")
        return found  # type: ignore[no-any-return]

    def route(self, rollouts: Rollouts) -> Route:
        found = self._call("route", rollouts)
        self._require("route", isinstance(found, Route), f"gives {_kind(found)}, and not a Route")
        for name, value in found._asdict().items():
            if value is not None:
                self._tensor("route", name, value, [rollouts.rewards_B.shape], torch.bool)
        return found  # type: ignore[no-any-return]

    def asks_teacher(self, step: int, advantages_B: Tensor) -> Tensor:
        found = self._call("asks_teacher", step, advantages_B)
        self._tensor("asks_teacher", "result", found, [advantages_B.shape], torch.bool)
        return found  # type: ignore[no-any-return]

    def credit(self, rollouts: Rollouts) -> Credit:
        found = self._call("credit", rollouts)
        self._require("credit", isinstance(found, Credit), f"gives {_kind(found)}, and not a Credit")
        of_row, of_token = rollouts.rewards_B.shape, rollouts.mask_BT.shape
        self._tensor("credit", "advantages", found.advantages, [of_row, of_token])
        if found.weights_BT is not None:
            self._tensor("credit", "weights_BT", found.weights_BT, [of_token])
        self._require("credit", isinstance(found.metrics, Mapping), "gives metrics that are no mapping")
        self._names(found.metrics, "credit")
        for name, value in found.metrics.items():
            number = isinstance(value, float | int) and math.isfinite(value)
            self._require("credit", number, f"gives metric {name} as {str(value)[:40]!r}, and not as a finite number")
        state = found.state is None or _maps_to(Tensor, found.state)
        self._require("credit", state, "gives a state that is no mapping of names to tensors")
        return found  # type: ignore[no-any-return]

    def distill(self, student_NV: Tensor, teachers: Mapping[str, Tensor], tokens: Tokens) -> Tensor:
        found = self._call("distill", student_NV, teachers, tokens)
        self._tensor("distill", "result", found, [student_NV.shape[:1]])
        tied = found.requires_grad or not (student_NV.requires_grad and torch.is_grad_enabled())
        self._require("distill", tied, "gives a divergence without gradient to the student's logits")
        return found  # type: ignore[no-any-return]

    # --- how it is told -------------------------------------------------------------------------------------------

    def _call(self, hook: str, *args: Any) -> Any:
        try:
            found = getattr(self._method, hook)
            return found(*args) if args else found
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            file = getsourcefile(type(self._method))
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
            if not lines:
                raise
            first = next(iter(str(error).splitlines()), "")
            raise HookError(f"{file}:{lines[-1]}: {hook}: {type(error).__name__}: {first[:200]}") from error

    def _require(self, hook: str, sound: bool, fault: str) -> None:
        if not sound:
            raise HookError(f"{_where(type(self._method), hook)}: {hook} {fault}")

    def _tensor(
        self, hook: str, what: str, value: Any, shapes: Sequence[torch.Size], dtype: torch.dtype | None = None
    ) -> None:
        """A tensor of one of the shapes; of `dtype`, or of any that has fractions."""
        self._require(hook, isinstance(value, Tensor), f"gives {_kind(value)} for {what}, and not a tensor")
        wanted = " or ".join(str(tuple(shape)) for shape in shapes)
        self._require(hook, value.shape in shapes, f"gives {what} of shape {tuple(value.shape)}, and not {wanted}")
        right = value.dtype == dtype if dtype is not None else value.is_floating_point()
        self._require(hook, right, f"gives {what} of {value.dtype}, and not {dtype or 'floating point'}")

    def _names(self, metrics: Mapping[Any, Any], hook: str) -> None:
        for name in metrics:
            self._require(hook, _is_name(name), f"names a metric {name!r}: letters, digits and underscores")
            self._require(hook, name not in self._reserved, f"names a metric {name!r}, which the harness logs itself")


def _maps_to(kind: type, value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(each, kind) for each in value.values())


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and re.fullmatch(r"\w+", name) is not None


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _where(kind: type, hook: str) -> str:
    """File and line of a hook, or of the class that does not define it."""
    found: Any = vars(kind).get(hook, kind)
    found = found.fget if isinstance(found, property) else found
    try:
        return f"{getsourcefile(found)}:{getsourcelines(found)[1]}"
    except (OSError, TypeError):
        return f"{getsourcefile(kind)}:{getsourcelines(kind)[1]}"
