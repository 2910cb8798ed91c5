"""The benches, one file each. No torch, no pandas: a reward and a command line can afford it."""

from collections.abc import Iterable

from eval.benches.bench import Bench
from eval.benches.mathvision import MathVision
from eval.benches.mathvista import MathVista
from eval.benches.mmmu import MMMU
from eval.benches.wemath import WeMath
from eval.benches.zerobench import ZeroBench
from eval.core.errors import UserError

VERSION = "3"  # raised whenever a verdict can change: results of different versions must not be compared

_OURS = (MMMU(), MathVista(), MathVision(), ZeroBench(), WeMath())  # in the order of the paper's table
BENCHES: dict[str, Bench] = {bench.name: bench for bench in _OURS}  # whatever runs over benches runs over this


def split(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of benches, `all` spelt out, and all others, which may be lm-eval's."""
    asked = [name.strip() for name in names]
    others = tuple(name for name in asked if name != "all" and name not in BENCHES)
    return chosen(name for name in asked if name not in others), others


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """The names of benches, `all` alone standing for every one; raises UserError for one that is not there."""
    found = tuple(BENCHES) if (asked := tuple(names)) == ("all",) else asked
    if unknown := [name for name in found if name not in BENCHES]:
        raise UserError(f"unknown bench {unknown[0]!r}: choose from {', '.join(BENCHES)}, or all")
    return found
