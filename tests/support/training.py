"""Training rows as a run of the embedded model sees them."""

from functools import cache
from typing import Any

from transformers import AutoProcessor

from runners.data import training
from runners.run.config import Settings
from runners.run.model import locate


@cache
def processor() -> Any:
    return AutoProcessor.from_pretrained(locate("embedded"))


def training_rows(settings: Settings) -> Any:
    return training.training_rows(settings, processor())
