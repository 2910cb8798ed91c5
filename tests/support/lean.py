"""What every small training pays to libraries and no test looks at: a third of one of a single step."""

import copy
import functools
import gc
import importlib.metadata
import itertools
import sys
import types
import uuid
from typing import Any

import yaml

KEPT = 8  # trainings whose cycles, of a tiny model each, may lie about until somebody looks for them


def leave_out() -> None:
    """In this process and those that are forked from it, as far as it has imported what would do it."""
    # A parsed file each time: accelerate asks whether peft is there at every update, a run for seven versions.
    for name in ("metadata", "version"):
        setattr(importlib.metadata, name, functools.cache(getattr(importlib.metadata, name)))
    yaml.safe_load = _read_once(yaml.safe_load)
    if configurations := sys.modules.get("transformers.configuration_utils"):
        # Written out whole, for messages that nobody reads, eight times for each configuration that is loaded.
        configurations.PreTrainedConfig.__repr__ = object.__repr__  # type: ignore[attr-defined]
    if tables := sys.modules.get("datasets.arrow_dataset"):
        # A hash over all rows, by which `map`, which nobody calls, would find what it has done before.
        tables.generate_fingerprint = lambda _: uuid.uuid4().hex  # type: ignore[attr-defined]
    if memory := sys.modules.get("accelerate.utils.memory"):
        calls = itertools.count(1)
        collect = lambda: gc.collect() if next(calls) % KEPT == 0 else 0  # noqa: E731
        memory.gc = types.SimpleNamespace(collect=collect)  # type: ignore[attr-defined]


def _read_once(read: Any) -> Any:
    """Presets are read for every test's settings; a text that cannot be read is read again."""
    kept = functools.lru_cache(1024)(read)
    return lambda source: copy.deepcopy(kept(source)) if isinstance(source, str) else read(source)
