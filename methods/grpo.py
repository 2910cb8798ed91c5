"""GRPO (arXiv 2402.03300): every token of a rollout gets its reward, normalised within the group."""

from dataclasses import dataclass

from methods.base import Method


@dataclass(frozen=True)
class GRPO(Method):
    name = "grpo"
    label = "GRPO"
