"""Seconds and memory of a run's phases, seen from outside the trainer."""

import time
from collections.abc import Callable
from typing import Any

import torch


class Phases:
    """Watches a trainer: `rollouts`, `scoring` (rewards, teachers, credit) and `update` of each step."""

    def __init__(self, trainer: Any, device: str) -> None:
        self._device = device
        self.seconds = {"rollouts": 0.0, "scoring": 0.0, "update": 0.0}
        self.peaks = {"rollouts": 0, "scoring": 0, "update": 0, "optimizer": 0}  # bytes allocated
        self.tokens = 0  # sampled
        self._own = 0.0  # seconds of the phases inside the one that is measured
        self._inside: list[str] = []  # the phases that are open
        single = self._watched("rollouts", trainer._generate_single_turn)
        scored = self._watched("scoring", trainer._generate_and_score_completions)

        def counted(*args: Any, **kwargs: Any) -> Any:
            found = single(*args, **kwargs)
            self.tokens += sum(map(len, found[0]))
            return found

        trainer._generate_single_turn, trainer._generate_and_score_completions = counted, scored
        trainer.training_step = self._watched("update", trainer.training_step)

    def _watched(self, phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            outer, self._own = self._own, 0.0
            self.keep_peak()
            self._inside.append(phase)
            start = self._now()
            found = call(*args, **kwargs)
            took = self._now() - start
            self.keep_peak()
            self._inside.pop()
            self.seconds[phase] += took - self._own
            self._own = outer + took
            return found

        return watched

    def _now(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def keep_peak(self) -> None:
        """What was allocated at most since the last call was so in the phase that is open, or else in the optimizer."""
        if self._device == "cuda":
            phase = self._inside[-1] if self._inside else "optimizer"
            self.peaks[phase] = max(self.peaks[phase], torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()
