"""The teacher's weights: which model scores the told prompt, and when it is renewed.

Not a second model: one copy of the policy's trainable tensors, with which the policy computes while the teacher scores.
Under LoRA that is the adapter; under FSDP2 each process holds and copies the shard that it owns, tensor by tensor, so
that the whole model is never gathered.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from methods import Teacher
from runners.run.world import rank
from runners.train.weight_swap import copy_of, exchanged, lent, values


class TeacherWeights:
    """The teacher of `spec` beside `policy`. `start` makes the copy: call it once the policy is wrapped and loaded.

    on_host: the copy is kept in host memory, for a GPU that has no room for it.
    """

    def __init__(self, spec: Teacher, policy: nn.Module, on_host: bool = False) -> None:
        self._spec = spec
        self._policy = policy
        self._on_host = on_host
        self._copy: dict[str, Tensor] = {}

    def start(self) -> None:
        if self._spec.kind in ("initial", "snapshot", "ema") and not self._is_base_of_adapter():
            for name, p in self._values():
                # An average in bfloat16 would lose every update below 1/256 of a weight.
                dtype = torch.float32 if self._spec.kind == "ema" else p.dtype
                self._copy[name] = copy_of(p, dtype, self._on_host)

    @property
    def bytes(self) -> int:
        """What the copy holds on this process, wherever it is kept."""
        return sum(t.numel() * t.element_size() for t in self._copy.values())

    @property
    def changes_weights(self) -> bool:
        """Whether the policy's tensors hold other values while the teacher is active."""
        return bool(self._copy)

    def _trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, p) for name, p in self._policy.named_parameters() if p.requires_grad)

    def _values(self) -> Iterator[tuple[str, Tensor]]:
        """Name and values of what is trained; of a sharded parameter the shard of this process."""
        self._reshard()
        return ((name, values(p)) for name, p in self._trainable())

    def _reshard(self) -> None:
        """A pass without gradient may leave the root of FSDP2 gathered, with values that are about to change."""
        for module in self._policy.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def _is_base_of_adapter(self) -> bool:
        return self._spec.kind == "initial" and isinstance(self._policy, PeftModel)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, the policy's module computes with the teacher's weights. However it is left, even where not all of
        them found room, the policy has its own again, to the last bit."""
        if self._is_base_of_adapter():
            assert isinstance(self._policy, PeftModel)
            with self._policy.disable_adapter():
                yield
            return
        with ExitStack() as stack:
            if self._copy:
                self._reshard()
                for name, p in self._trainable():
                    by_value = self._on_host or isinstance(p, DTensor)
                    held = self._copy[name]
                    stack.enter_context(exchanged(values(p), held) if by_value else lent(p, held))
                stack.callback(self._reshard)
            yield

    @torch.no_grad()
    def after_update(self, update: int, per_step: int = 1) -> None:
        """Renew the copy after the optimizer's `update` (1-based), of which there are `per_step` on each generation:
        an average every time, a snapshot at the end of every `every`-th step."""
        if self._spec.kind == "snapshot" and update % (self._spec.every * per_step) == 0:
            for name, p in self._values():
                self._copy[name].copy_(p)
        elif self._spec.kind == "ema":
            for name, p in self._values():
                held = self._copy[name]
                # Where the policy is, so that the average is the same to the last bit wherever it is kept.
                held.copy_(held.to(p.device).lerp_(p.float(), self._spec.rate))

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
