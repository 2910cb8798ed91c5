"""The teachers' weights: which model scores each context, and when it is renewed.

Not a second model but for an external one: a copy of the policy's trainable tensors, with which the policy computes
while the teacher scores. Under LoRA that is the adapter; under FSDP2 each process holds and copies the shard that it
owns, tensor by tensor, so that the whole model is never gathered.

Beside a parameter that is whole, its copy is lent to it: no value moves and nothing is allocated. A shard of FSDP2 has
to stay where it is, for FSDP2 gathers from that very memory, and a copy in host memory is out of a GPU's reach: there
the values are exchanged, one tensor after the other, so that the policy's device holds one tensor more at most.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from eval.core.errors import UserError
from eval.engines.requests import tokenizer_of
from methods import Method, Teacher
from runners.forward.fsdp import is_sharded
from runners.run.config import ModelSettings
from runners.run.model import load
from runners.run.world import rank


def values(p: Tensor) -> Tensor:
    """The memory of a parameter, without gradient; of a sharded one the shard of this process."""
    return (p.to_local() if isinstance(p, DTensor) else p).detach()


def copy_of(place: Tensor, dtype: torch.dtype, on_host: bool) -> Tensor:
    """A copy on the same device, or in host memory: pinned where `place` is on a GPU."""
    if not on_host:
        return place.to(dtype, copy=True)
    room = torch.empty_like(place, dtype=dtype, device="cpu", pin_memory=place.is_cuda)
    return room.copy_(place)


@contextmanager
def lent(p: nn.Parameter, held: Tensor) -> Iterator[None]:
    """Inside, `p` refers to `held`, or to its values in the dtype of `p`; its own memory is left alone."""
    own = p.data
    p.data = held.to(own.dtype)
    try:
        yield
    finally:
        p.data = own


@contextmanager
def exchanged(place: Tensor, held: Tensor) -> Iterator[None]:
    """Inside, the memory `place` has the values of `held`, which keeps those of `place` meanwhile.

    A `held` of another dtype has no room for them: they wait in a copy beside it.
    """
    own = place.to(held.device, copy=True) if held.dtype != place.dtype else None
    if own is None:
        _exchange(place, held)
    else:
        place.copy_(held)
    try:
        yield
    finally:
        if own is None:
            _exchange(place, held)
        else:
            place.copy_(own)


def _exchange(place: Tensor, held: Tensor) -> None:
    coming = held.to(place.device, copy=True)
    held.copy_(place)
    place.copy_(coming)


def needs_external(method: Method) -> bool:
    return any(teacher.kind == "external" for teacher in method.teachers.values())


def external_teacher(settings: ModelSettings, processor: Any) -> nn.Module:
    """The model of `model.teacher`, frozen. Raises UserError where none is named, or where it reads other tokens or
    cuts pictures otherwise: the student's prompts and completions are what it is shown."""
    if settings.teacher is None:
        raise UserError("this method has an external teacher: --set model.teacher=<folder or hub id>")
    model, own = load(settings.model_copy(update={"path": settings.teacher}))
    if tokenizer_of(own).get_vocab() != tokenizer_of(processor).get_vocab():
        raise UserError(
            f"model.teacher {settings.teacher} has other tokens than {settings.path}: give one of its family"
        )
    for name in ("patch_size", "merge_size", "temporal_patch_size"):
        theirs, ours = (getattr(getattr(p, "image_processor", None), name, None) for p in (own, processor))
        if theirs != ours:
            raise UserError(f"model.teacher {settings.teacher} cuts pictures otherwise ({name} {theirs}, not {ours})")
    frozen: nn.Module = model.eval().requires_grad_(False)
    return frozen


def fits_beside(trained: int, copy: int, free: int, total: int) -> bool:
    """Whether a GPU with `free` of its `total` bytes left, now that the model is loaded, should hold the `copy` too.

    Gradients and both averages of AdamW, each as large as what is `trained`, are still to come, and half of the GPU is
    left to activations. That is plenty, and meant to be: a copy in host memory costs a fraction of a second whenever
    the teacher scores, one too many on the GPU costs the run.
    """
    return 3 * trained + copy + total / 2 <= free


class Teachers:
    """The holders of all teachers' weights: contexts with the same teacher share one.

    external: the model of the setting `model.teacher`, scored as it is.
    """

    def __init__(self, specs: Mapping[str, Teacher], policy: nn.Module, external: nn.Module | None = None) -> None:
        self._policy, self._external = policy, external
        own = dict.fromkeys(spec for spec in specs.values() if spec.kind != "external")
        marks = ["", *(f"-{i}" for i in range(2, len(own) + 1))]
        self._holders = {s: TeacherWeights(s, policy, mark=mark) for s, mark in zip(own, marks, strict=False)}
        self._specs = specs

    def by_holder(self) -> list[list[str]]:
        """The names of the contexts, those that one holder reads together."""
        names: dict[Teacher, list[str]] = {}
        for name, spec in self._specs.items():
            names.setdefault(spec, []).append(name)
        return list(names.values())

    @contextmanager
    def active(self, name: str) -> Iterator[nn.Module]:
        """The model that reads this context; inside, it computes with the teacher's weights."""
        spec = self._specs[name]
        if spec.kind == "external":
            assert self._external is not None
            yield self._external
        else:
            with self._holders[spec].active():
                yield self._policy

    def changes_weights(self, name: str) -> bool:
        """Whether the policy's tensors hold other values while this context is read."""
        spec = self._specs[name]
        return spec.kind != "external" and self._holders[spec].changes_weights

    def start(self) -> None:
        for holder in self._holders.values():
            holder.start()

    def after_update(self, update: int, per_step: int = 1) -> None:
        for holder in self._holders.values():
            holder.after_update(update, per_step)

    def save(self, folder: Path) -> None:
        for holder in self._holders.values():
            holder.save(folder)

    def load(self, folder: Path) -> None:
        for holder in self._holders.values():
            holder.load(folder)


class TeacherWeights:
    """The teacher of `spec` beside `policy`. `start` makes the copy: call it once the policy is wrapped and loaded.

    on_host: whether the copy is kept in host memory; None leaves it to `fits_beside` and the GPU.
    """

    def __init__(self, spec: Teacher, policy: nn.Module, on_host: bool | None = None, mark: str = "") -> None:
        self._mark = mark  # of its file, beside those of other teachers
        self._spec = spec
        self._policy = policy
        self._on_host = on_host
        self._is_base = spec.kind == "initial" and isinstance(policy, PeftModel)  # the policy without its adapter
        self._copy: dict[str, Tensor] = {}

    def start(self) -> None:
        if self._spec.kind in ("initial", "snapshot", "ema") and not self._is_base:
            if self._on_host is None:
                self._on_host = not self._fits()
            for name, p in self._values():
                # An average in bfloat16 would lose every update below 1/256 of a weight.
                dtype = torch.float32 if self._spec.kind == "ema" else p.dtype
                self._copy[name] = copy_of(p, dtype, bool(self._on_host))

    def _fits(self) -> bool:
        trained = [p for _, p in self._values()]
        if not trained or not trained[0].is_cuda:
            return True
        device = trained[0].device
        free, total = torch.cuda.mem_get_info(device)
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        copy = sum(4 * p.numel() if self._spec.kind == "ema" else p.nbytes for p in trained)
        return fits_beside(sum(p.nbytes for p in trained), copy, free + idle, total)

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

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, the policy's module computes with the teacher's weights. However it is left, even where not all of
        them found room, the policy has its own again, to the last bit."""
        if self._is_base:
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
        if self._copy and (is_sharded(self._policy) or rank() == 0):
            save_file({name: t.contiguous() for name, t in self._copy.items()}, folder / self._file())

    def load(self, folder: Path) -> None:
        if self._copy:
            saved = load_file(folder / self._file())
            for name, tensor in self._copy.items():
                tensor.copy_(saved[name])

    def _file(self) -> str:
        return f"teacher{self._mark}{f'-{rank()}' if is_sharded(self._policy) else ''}.safetensors"
