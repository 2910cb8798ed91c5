"""The methods under comparison. A new one is a file here and a line in METHODS."""

from methods.base import Context, Credit, Method, Metric, Rollouts, Route, Sibling, Task, Teacher, Tokens
from methods.grpo import GRPO
from methods.grpo_opsd import GRPOPlusOPSD
from methods.opd import OPD
from methods.opsd import OPSD
from methods.rlsd import RLSD
from methods.sdpo import SDPO

METHODS: dict[str, type[Method]] = {m.name: m for m in (GRPO, OPD, OPSD, SDPO, GRPOPlusOPSD, RLSD)}
# Those that need no other model than the one that is trained: what `--methods all` means.
SELF_CONTAINED = [name for name, kind in METHODS.items() if all(t.kind != "external" for t in kind().teachers.values())]

__all__ = [
    "METHODS",
    "SELF_CONTAINED",
    "Context",
    "Credit",
    "Method",
    "Metric",
    "Rollouts",
    "Route",
    "Sibling",
    "Task",
    "Teacher",
    "Tokens",
]
