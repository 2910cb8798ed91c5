"""The teacher's weights: which model scores the told prompt, and when it is renewed.

Not a second model: one copy of the policy's trainable tensors, whose values take the policy's place while the teacher
scores. Under LoRA that is the adapter; under FSDP2 each process holds and copies the shard that it owns, tensor by
tensor, so that the whole model is never gathered.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from methods import Teacher
from runners.processes import rank


class TeacherWeights:
    """The teacher of `spec` beside `policy`. `start` makes the copy: call it once the policy is wrapped and loaded."""

    def __init__(self, spec: Teacher, policy: nn.Module) -> None:
        self._spec = spec
        self._policy = policy
        self._copy: dict[str, Tensor] = {}

    def start(self) -> None:
        if self._spec.kind in ("initial", "snapshot", "ema") and not self._is_base_of_adapter():
            # An average in bfloat16 would lose every update below 1/256 of a weight.
            wide = self._spec.kind == "ema"
            self._copy = {n: p.to(torch.float32 if wide else p.dtype, copy=True) for n, p in self._trainable()}

    @property
    def bytes(self) -> int:
        """What the copy holds on this process."""
        return sum(t.numel() * t.element_size() for t in self._copy.values())

    @property
    def changes_weights(self) -> bool:
        """Whether the policy's tensors hold other values while the teacher is active."""
        return bool(self._copy)

    def _trainable(self) -> Iterator[tuple[str, Tensor]]:
        """Name and values of what is trained; of a sharded parameter the shard of this process."""
        for module in self._policy.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # a pass without gradient may leave the root gathered, with values about to change
        for name, p in self._policy.named_parameters():
            if p.requires_grad:
                # Storage and not .data of the DTensor: FSDP2 gathers from this very memory.
                yield name, (p.to_local() if isinstance(p, DTensor) else p).detach()

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
        students = {name: p.clone() for name, p in self._trainable()} if self._copy else {}
        self._write(self._copy)
        try:
            yield
        finally:
            self._write(students)

    @torch.no_grad()
    def _write(self, values: dict[str, Tensor]) -> None:
        if values:
            for name, p in self._trainable():
                p.copy_(values[name])

    @torch.no_grad()
    def after_update(self, update: int, per_step: int = 1) -> None:
        """Renew the copy after the optimizer's `update` (1-based), of which there are `per_step` on each generation:
        an average every time, a snapshot at the end of every `every`-th step."""
        if self._spec.kind == "snapshot" and update % (self._spec.every * per_step) == 0:
            for name, p in self._trainable():
                self._copy[name].copy_(p)
        elif self._spec.kind == "ema":
            for name, p in self._trainable():
                self._copy[name].lerp_(p.float(), self._spec.rate)

    def save(self, folder: Path) -> None:
        """Each process with a shard of its own writes it; otherwise the first one writes the whole."""
        if self._copy and (self._sharded() or rank() == 0):
            save_file({name: t.contiguous() for name, t in self._copy.items()}, folder / self._file())

    def load(self, folder: Path) -> None:
        if self._copy:
            saved = load_file(folder / self._file())
            for name, tensor in self._copy.items():
                tensor.copy_(saved[name])

    def _sharded(self) -> bool:
        return any(isinstance(p, DTensor) for p in self._policy.parameters())

    def _file(self) -> str:
        return f"teacher-{rank()}.safetensors" if self._sharded() else "teacher.safetensors"
