"""One writer at a time: a file beside what is written says which process writes there.

The kernel's own locks would end with their process, but name nobody and mean little on a network's disk. So the file
names its holder, and one whose holder is gone is taken over.
"""

import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from eval.core import files
from eval.core.errors import UserError
from runners.run.world import rank


@dataclass(frozen=True)
class Holder:
    """The process that a lock names. `started` tells it from a later one with the same number."""

    host: str
    pid: int
    started: str
    command: str

    @property
    def is_here(self) -> bool:
        return self.host == socket.gethostname()

    @property
    def is_gone(self) -> bool:
        """Whether it has ended for certain: of another host's processes nothing is known."""
        return self.is_here and _started(self.pid) != self.started


class InUse(UserError):
    """Another process writes there."""


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Inside, this process is the only writer of what `lock` stands for; it may hold it already.

    The first of a run's processes holds it for all of them. Raises InUse where another one does.
    """
    own = _this_process()
    if rank() != 0 or _read(lock) == own:
        yield
        return
    _take(lock, own)
    try:
        yield
    finally:
        if _read(lock) == own:
            lock.unlink(missing_ok=True)


def holder(lock: Path) -> Holder | None:
    """Who holds a lock, unless it is known to have ended."""
    found = _read(lock)
    return None if found is None or found.is_gone else found


def refuse_held(lock: Path) -> None:
    """Raises InUse where a process holds the lock, with what to do about it."""
    if (found := holder(lock)) is None:
        return
    what = lock.parent / lock.name.removesuffix("lock.json").removesuffix(".")
    who = f"{what} is in use by process {found.pid} on {found.host} ({found.command})"
    if found.is_here:
        raise InUse(f"{who}: wait until it has ended, or end it with `kill {found.pid}`")
    raise InUse(f"{who}, which cannot be seen from here: wait for it, or remove {lock} if it has ended")


def _take(lock: Path, own: Holder) -> None:
    half = lock.with_name(f".{lock.name}.{own.pid}")
    with files.told(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(json.dumps(asdict(own)) + "\n")
        try:
            with _alone(lock.parent):
                _sweep_up(lock)
                refuse_held(lock)
                lock.unlink(missing_ok=True)  # of a process of this host that is gone
                os.link(half, lock)  # whole, or not at all where another host was quicker
        except FileExistsError:
            refuse_held(lock)
            raise
        finally:
            half.unlink(missing_ok=True)


def _sweep_up(lock: Path) -> None:
    """What processes of this host have left that were killed while they took the lock."""
    for half in lock.parent.glob(f".{lock.name}.*"):
        pid = half.suffix.removeprefix(".")
        if pid.isdecimal() and _started(int(pid)) is None:
            half.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """For the moment between finding a dead holder and taking its place, among the processes of this host: those of
    others leave its lock alone. Some network disks lock no folders."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(lock: Path) -> Holder | None:
    """None where there is no lock, or a damaged one: it came into its place whole, so a crash has taken its writer."""
    found = files.read_object(lock)
    try:
        return None if found is None else Holder(**found)
    except TypeError:
        return None


def _this_process() -> Holder:
    pid = os.getpid()
    return Holder(socket.gethostname(), pid, _started(pid) or "", " ".join(["cli.py", *sys.argv[1:]]))


def _started(pid: int) -> str | None:
    """The boot and the clock tick at which a process began; None where it has ended, waited for or not."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else f"{_boot()}-{fields[19]}"


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
