"""Leakage detectors: does a model speak, answer or explain as if it had been told what its prompt never showed?"""

from eval.leakage.mention import Rate, mentions, rate

__all__ = ["Rate", "mentions", "rate"]
