"""The methods under comparison. A new one is a file here and a line in METHODS."""

from methods.base import Context, Credit, Method, Metric, Rollouts, Route, Sibling, Task, Teacher, Tokens
from methods.grpo import GRPO
from methods.grpo_opsd import GRPOPlusOPSD
from methods.opsd import OPSD
from methods.rlsd import RLSD
from methods.sdpo import SDPO

METHODS: dict[str, type[Method]] = {m.name: m for m in (GRPO, OPSD, SDPO, GRPOPlusOPSD, RLSD)}

__all__ = [
    "METHODS",
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
