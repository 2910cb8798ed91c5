"""Every leakage detector over the replies of an evaluation: per bench in its result, pooled in `leakage.json`."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from eval.benches import BENCHES
from eval.core import files
from eval.grading.score import Row
from eval.leakage import DETECTORS
from eval.leakage.detector import Detector, Rate, share
from eval.leakage.detector import search as searched


def search(rows: list[Row], replies: list[list[str]]) -> dict[str, Any]:
    """Detector -> what it found in one bench, as result.json keeps it; `replies[i]` are the samples of `rows[i]`, which
    are without pictures."""
    pairs = [(reply, row) for row, samples in zip(rows, replies, strict=True) for reply in samples]
    return {name: searched(detector, pairs)._asdict() for name, detector in DETECTORS.items()}


def lacks(result: dict[str, Any]) -> bool:
    """True where a stored result was never searched by some detector, as one that is newer than it."""
    return not DETECTORS.keys() <= result.get("leakage", {}).keys()


def write(out: Path) -> None:
    """`leakage.json` over every bench that `out` holds, unless it says so already."""
    stored = {bench: files.read_object(out / bench / "result.json") for bench in BENCHES}
    held = {bench: result.get("leakage", {}) for bench, result in stored.items() if result is not None}
    summary = {name: _summary(detector, held) for name, detector in DETECTORS.items()}
    if files.read_object(out / "leakage.json") != summary:
        files.write_json(out / "leakage.json", summary)


def _summary(detector: Detector, held: dict[str, Any]) -> dict[str, Any]:
    """Label and meaning stand beside the numbers: who reads them need not know the detector."""
    found = {bench: parts[detector.name] for bench, parts in held.items() if detector.name in parts}
    phrases = sum((Counter(part["phrases"]) for part in found.values()), Counter[str]())
    return {
        "label": detector.label,
        "meaning": detector.meaning,
        **_share(found.values())._asdict(),
        "per_bench": {bench: _share([part])._asdict() for bench, part in found.items()},
        "phrases": dict(phrases.most_common()),
    }


def _share(parts: Collection[dict[str, Any]]) -> Rate:
    return share(sum(len(part["found"]) for part in parts), sum(part["n"] for part in parts))
