"""Time and memory: both sides in one process, turn by turn, on a machine that may be busy with something else."""

import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], object]


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
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def timed(call: Call, device: str) -> Time:
    """Of one call, with the garbage of what ran before it out of the way."""
    gc.collect()
    start = clock(device)
    call()
    return clock(device).since(start)


def interleaved(sides: Mapping[str, Call], rounds: int, device: str) -> dict[str, list[Time]]:
    """Each side once to warm up, then `rounds` times in turn, every other round in the opposite order."""
    for call in sides.values():
        call()
    times: dict[str, list[Time]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            times[name].append(timed(sides[name], device))
    return times


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
