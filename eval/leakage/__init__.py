"""Does a model reply as if it had been told what its prompt never showed? One file a detector, one line here."""

from collections.abc import Sequence

from eval.leakage.copied import COPIED
from eval.leakage.detector import Detector
from eval.leakage.early import EARLY, SKIPPED
from eval.leakage.mention import MENTION

DETECTORS: dict[str, Detector] = {detector.name: detector for detector in (MENTION, EARLY, SKIPPED, COPIED)}
IN_TRAINING = {"leakage": MENTION, "early": EARLY, "skipped": SKIPPED}  # by metric: the cheap ones, which ask no row


def leaks(replies: Sequence[str]) -> dict[str, list[bool]]:
    """By metric of training whether something is found in each reply."""
    found = [[bool(detector.find(reply, {})) for detector in IN_TRAINING.values()] for reply in replies]
    return {name: [flags[i] for flags in found] for i, name in enumerate(IN_TRAINING)}
