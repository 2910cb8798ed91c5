"""Every leakage detector over the replies of an evaluation: per bench in its result, pooled in `leakage.json`."""

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from eval.benches import BENCHES
from eval.core.images import Picture
from eval.grading.score import Row
from eval.leakage import DETECTORS
from eval.leakage.detector import Detector, Found, pooled
from eval.leakage.detector import search as searched
from eval.pipeline import results as files


def search(rows: list[Row], replies: list[list[str]]) -> dict[str, Any]:
    """Detector -> what it found in one bench, as result.json keeps it; `replies[i]` are the samples of `rows[i]`."""
    texts = [_text(row) for row in rows]
    pairs = [(reply, row) for row, samples in zip(texts, replies, strict=True) for reply in samples]
    return {name: searched(detector, pairs)._asdict() for name, detector in DETECTORS.items()}


def _text(row: Row) -> Row:
    """The row without its pictures."""
    return {
        name: value
        for name, value in row.items()
        if not isinstance(value[0] if isinstance(value, list) and value else value, Picture)
    }


def lacks(result: dict[str, Any]) -> bool:
    """True where a stored result was never searched by some detector, as one that is newer than it."""
    return not DETECTORS.keys() <= result.get("leakage", {}).keys()


def write(out: Path) -> None:
    """`leakage.json` over every bench that `out` holds, unless it says so already."""
    held = {
        bench: json.loads(path.read_text()).get("leakage", {})
        for bench in BENCHES
        if (path := out / bench / "result.json").is_file()
    }
    summary = {name: _summary(detector, held) for name, detector in DETECTORS.items()}
    with suppress(OSError, ValueError):
        if json.loads((out / "leakage.json").read_text()) == summary:
            return
    files.write_json(out / "leakage.json", summary)


def _summary(detector: Detector, held: dict[str, Any]) -> dict[str, Any]:
    """Label and meaning stand beside the numbers: who reads them need not know the detector."""
    found = {
        bench: Found(part["hits"], part["n"], Counter(part["phrases"]))
        for bench, parts in held.items()
        if (part := parts.get(detector.name))
    }
    total = pooled(found.values())
    return {
        "label": detector.label,
        "meaning": detector.meaning,
        **total.rate._asdict(),
        "per_bench": {bench: part.rate._asdict() for bench, part in found.items()},
        "phrases": dict(total.phrases.most_common()),
    }
