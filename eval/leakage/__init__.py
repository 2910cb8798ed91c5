"""Leakage detectors: one file each, and one line here."""

from eval.leakage.detector import Detector
from eval.leakage.mention import MENTION

DETECTORS: dict[str, Detector] = {detector.name: detector for detector in (MENTION,)}
