"""The teacher's weights: which model scores the told prompt, and when it is renewed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from methods import Teacher

FILE = "teacher.safetensors"


class TeacherWeights:
    """Holds at most one copy of the policy's trainable tensors and swaps it in while the teacher scores.

    Not a second model: the frozen part (the base under LoRA) is shared with the policy.
    """

    def __init__(self, spec: Teacher, policy: nn.Module) -> None:
        self._spec = spec
        self._policy = policy
        self._copy: dict[str, Tensor] = {}
        if spec.kind in ("initial", "snapshot", "ema") and not self._is_base_of_adapter():
            self._copy = {name: p.detach().clone() for name, p in self._trainable()}

    def _trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, p) for name, p in self._policy.named_parameters() if p.requires_grad)

    def _is_base_of_adapter(self) -> bool:
        return self._spec.kind == "initial" and isinstance(self._policy, PeftModel)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, the policy's module computes with the teacher's weights."""
        if self._is_base_of_adapter():
            assert isinstance(self._policy, PeftModel)
            with self._policy.disable_adapter():
                yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, p in self._trainable():
            if name in self._copy:
                p.data, self._copy[name] = self._copy[name], p.data

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Renew the copy at the end of optimizer step `step` (1-based)."""
        if self._spec.kind == "snapshot" and step % self._spec.every == 0:
            for name, p in self._trainable():
                self._copy[name].copy_(p)
        elif self._spec.kind == "ema":
            for name, p in self._trainable():
                self._copy[name].lerp_(p, self._spec.rate)

    def save(self, folder: Path) -> None:
        if self._copy:
            save_file({name: t.contiguous() for name, t in self._copy.items()}, folder / FILE)

    def load(self, folder: Path) -> None:
        if self._copy:
            saved = load_file(folder / FILE)
            for name, tensor in self._copy.items():
                tensor.copy_(saved[name])
