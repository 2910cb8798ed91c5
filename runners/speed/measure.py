"""Time and memory: both sides in one process, turn by turn, on a machine that may be busy with something else.
And work, which is counted: the same on every machine."""

import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, shape_wrapper

Call = Callable[[], object]
T = TypeVar("T")
aten = torch.ops.aten


class Time(NamedTuple):
    """Seconds of the process on all its threads, and of the clock."""

    cpu: float
    wall: float

    def since(self, start: "Time") -> "Time":
        return Time(self.cpu - start.cpu, self.wall - start.wall)

    def by(self, device: str) -> float:
        """What is compared: process time, which other processes disturb less; on a GPU the clock."""
        return self.wall if device == "cuda" else self.cpu


def clock(device: str) -> Time:
    """Now, with nothing left to do on the device."""
    if device == "cuda":
        torch.cuda.synchronize()
    return Time(time.process_time(), time.perf_counter())


class Ratio(NamedTuple):
    """Of two sides: median, lowest and highest over the rounds, each round's two turns being neighbours in time."""

    median: float
    low: float
    high: float
    wall: float  # median by the clock
    above: float  # seconds, median
    below: float


@contextmanager
def small_garbage() -> Iterator[None]:
    """Inside, the collector does not look at what the imports have left: a second for each collection, at random."""
    frozen = gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not frozen:  # else by somebody who wants it so afterwards as well
            gc.unfreeze()


def timed(call: Call, device: str) -> Time:
    """Of one call, with the garbage of what ran before it out of the way."""
    gc.collect()
    start = clock(device)
    call()
    return clock(device).since(start)


def interleaved(sides: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each side returns: once to warm up, then `rounds` times in turn, every other round in the opposite order."""
    for side in sides.values():
        side()
    found: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            found[name].append(sides[name]())
    return found


def times(calls: Mapping[str, Call], rounds: int, device: str) -> dict[str, list[Time]]:
    return interleaved({name: partial(timed, call, device) for name, call in calls.items()}, rounds)


def ratio(above: list[Time], below: list[Time], device: str) -> Ratio:
    found = [a.by(device) / b.by(device) for a, b in zip(above, below, strict=True)]
    return Ratio(
        statistics.median(found),
        min(found),
        max(found),
        statistics.median(a.wall / b.wall for a, b in zip(above, below, strict=True)),
        statistics.median(a.by(device) for a in above),
        statistics.median(b.by(device) for b in below),
    )


def peak(call: Call, device: str) -> float:
    """MiB that `call` adds at its worst moment.

    On the CPU from the allocator's own record of each allocation: unlike the resident set of a process, it depends
    neither on what ran before nor on what the C library gives back.
    """
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = [e["args"] for e in json.loads(trace.read_text())["traceEvents"] if e["name"] == "[memory]"]
    live = top = 0
    for event in events:
        live += event["Bytes"]
        top = max(top, live)
    return top / 2**20


def peaks(calls: Mapping[str, Call], device: str, before: Call) -> dict[str, float]:
    """The memory of each side in MiB, and what ours takes of the other's; `before` is called before each of them."""
    found = {}
    for name, call in calls.items():
        before()
        found[f"MiB {name}"] = peak(call, device)
    other, ours = found.values()
    return {**found, "memory": ours / other}


class Counts(NamedTuple):
    """Floating-point operations; tokens through the decoder; pictures through the tower; rows through the head.

    Attention is billed as if nothing were masked, as PyTorch's counter does. Fused GPU kernels for the head are not
    seen: there its rows are 0, and its operations missing.
    """

    flops: int
    tokens: int
    pictures: int
    head_rows: int


def count(model: Any, call: Call) -> Counts:
    """Of one call that forwards `model`, a Qwen3-VL, whatever layout it uses. Head rows are counted without gradient
    alone: with one, the backward pass multiplies by the head as well."""
    seen = {"tokens": 0, "pictures": 0}

    def tokens(_: Any, inputs: Any) -> None:
        seen["tokens"] += inputs[0][..., 0].numel()

    def pictures(_: Any, inputs: Any, kwargs: Any) -> None:
        seen["pictures"] += len(kwargs["grid_thw"] if "grid_thw" in kwargs else inputs[1])

    work = _Work(model.get_output_embeddings().weight)
    with ExitStack() as stack:
        stack.callback(model.model.language_model.norm.register_forward_pre_hook(tokens).remove)
        stack.callback(model.model.visual.register_forward_pre_hook(pictures, with_kwargs=True).remove)
        stack.enter_context(work)
        call()
    return Counts(work.flops, seen["tokens"], seen["pictures"], work.entries // work.vocabulary)


class Operations(TorchDispatchMode):
    """Counts as torch's FlopCounterMode does, in a quarter of the time: it names no modules."""

    def __init__(self, formulas: Mapping[Any, Callable[..., int]]) -> None:
        super().__init__()
        self.flops = 0
        self._formulas = flop_registry | {kernel: shape_wrapper(formula) for kernel, formula in formulas.items()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = self._formulas.get(func.overloadpacket)
        if formula is None and torch.is_inference_mode_enabled():  # where a linear layer comes here as one operation
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if formula:
            self.flops += formula(*args, **kwargs, out_val=out)
        return out


class _Work(Operations):
    """Also the entries of all products with the head, which the kernels compute tile by tile and without a module."""

    def __init__(self, weight_VD: torch.Tensor) -> None:
        super().__init__(FORMULAS)
        self.own, self.vocabulary = weight_VD.untyped_storage().data_ptr(), len(weight_VD)
        self.entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = super().__torch_dispatch__(func, types, args, kwargs)
        if func.overloadpacket in (aten.mm, aten.addmm) and any(
            isinstance(a, torch.Tensor) and a.untyped_storage().data_ptr() == self.own for a in args
        ):
            self.entries += out.numel()
        return out


def _attention(q: Sequence[int], k: Sequence[int], v: Sequence[int], *_: Any, **__: Any) -> int:
    """Operations of the shapes (B, heads, tokens, head): both products. Keys may have fewer heads than queries."""
    return 2 * q[0] * q[1] * q[2] * k[2] * (q[3] + v[3])


def _attention_backward(_: Any, q: Sequence[int], k: Sequence[int], v: Sequence[int], *__: Any, **___: Any) -> int:
    """The scores again, and the gradients of scores, values, queries and keys."""
    return 2 * q[0] * q[1] * q[2] * k[2] * (3 * q[3] + 2 * v[3])


def _addmm(_: Sequence[int], a: Sequence[int], b: Sequence[int], *__: Any, **___: Any) -> int:
    return 2 * a[0] * a[1] * b[1]


# PyTorch's own counter knows no attention kernel of CPUs; it fails at a product whose dtype is given, which TRL's head
# takes on a GPU, and up to 2.11 where keys have fewer heads.
_KERNELS = [f"_scaled_dot_product_{name}_attention" for name in ("flash", "efficient", "cudnn")]
_KERNELS.append("_scaled_dot_product_flash_attention_for_cpu")
FORMULAS: dict[Any, Callable[..., int]] = {getattr(aten, name): _attention for name in _KERNELS}
FORMULAS |= {getattr(aten, f"{name}_backward"): _attention_backward for name in _KERNELS} | {aten.addmm: _addmm}
