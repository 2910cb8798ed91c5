"""report.json: the numbers of the page. Scores and rates lie in 0..1."""

import json
import math
from typing import Any

from reports.writers.contents import Contents

REPORT_KIND = "report of post-training runs"  # how a later build knows that report.json is its own


def text(contents: Contents) -> str:
    numbers: dict[str, Any] = {"kind": REPORT_KIND, "suite": contents.suite.name}
    for section, data in contents.sections:
        numbers |= section.json(data)
    return json.dumps(_strict(numbers), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    """JSON knows no NaN, and runs may have recorded one."""
    if isinstance(value, dict):
        return {key: _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
