"""Does a model reply as if it had been told what its prompt never showed? One file a detector, one line here."""

from eval.leakage.copied import COPIED
from eval.leakage.detector import Detector
from eval.leakage.early import EARLY, SKIPPED
from eval.leakage.mention import MENTION

DETECTORS: dict[str, Detector] = {detector.name: detector for detector in (MENTION, EARLY, SKIPPED, COPIED)}
IN_TRAINING = {"leakage": MENTION, "early": EARLY, "skipped": SKIPPED}  # by metric: the cheap ones, and no row is asked
