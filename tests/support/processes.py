"""What a process has started, and whether it is still there."""

import time
from collections.abc import Callable
from pathlib import Path


def descendants(pid: int) -> set[int]:
    """Of a process, those that have not ended."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        fields = _fields(stat)
        if fields and int(fields[1]) == pid and fields[0] != "Z":
            found |= {int(stat.parent.name), *descendants(int(stat.parent.name))}
    return found


def alive(pid: int) -> bool:
    fields = _fields(Path(f"/proc/{pid}/stat"))
    return bool(fields) and fields[0] != "Z"


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Waits for it; an AssertionError where it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.05)


def _fields(stat: Path) -> list[str]:
    """State, parent, …; none of one that is gone."""
    try:
        return stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
