"""One thread per process, which a tiny model needs and two test workers share; and no network."""

import atexit
import gc
import os
import shutil
import sys
import tempfile

import pytest

from tests.support import lean

# Compiled once, by whichever process imports it first: without bytecode each one compiles 7,600 modules, 20 s of CPU.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="datasets-")
atexit.register(shutil.rmtree, os.environ["HF_DATASETS_CACHE"], ignore_errors=True)
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.fsync = lambda descriptor: None  # nobody pulls the plug of a test; the disk takes some ms, 10,000 times
gc.disable()  # until the imports are over, of which collections of garbage are a fifth


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: one that begins last keeps one worker busy and the other waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What the imports have left, next to no garbage, is not looked at again by each collection of it, .3 s every time;
    and there are fewer of these, which are two thirds of what it takes to parse 500 files."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()
    lean.leave_out()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Before anything runs: see tests/support/warm.py, if a test needs it."""
    if warm := sys.modules.get("tests.support.warm"):
        warm.serve()
