"""The rows that a run trains on, in the order in which every method sees them."""

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets

from eval.core.errors import UserError
from runners.data.cache import drawn_part, stored_parts
from runners.data.rows import check_usable
from runners.data.source import DRAWN
from runners.run.config import Settings
from runners.run.world import rank


def training_rows(settings: Settings, processor: Any) -> Dataset:
    """One row per prompt of the run, memory-mapped; of prompts over `train.max_prompt_tokens` the next one instead.

    Columns: id, prompt (one user message with `<image>` where the data places a picture), images (none, one or
    several) and their number `pictures`, answer, solution (may be None). Data that end, or are cut to `data.rows`, are
    begun again in an order drawn from the seed. Raises UserError where no row is usable or fits, and for processes that
    share their weights where some rows show pictures and some show none: one without would not call the picture tower,
    for whose shards the others wait.
    """
    needed = settings.train.steps * settings.train.prompts
    distinct = min(needed, settings.data.rows or needed)
    if settings.data.source in DRAWN:
        parts = [drawn_part(settings, processor, distinct)]
    else:
        parts = stored_parts(settings, processor, distinct)
        bad = [line for part in parts for line in part.about["bad"]]
        check_usable(settings.data, sum(len(part.table) for part in parts), bad)
        if "solution" in settings.data.columns and not any(part.about["solutions"] for part in parts) and rank() == 0:
            print(f"no row of {settings.data.source} has a solution: a teacher that wants one is told the answer")
    table, limit = concatenate_datasets([part.table for part in parts]), settings.train.max_prompt_tokens
    fits = np.flatnonzero(table.data.column("tokens").to_numpy() <= limit)
    if not len(fits):
        raise UserError(f"every prompt is longer than train.max_prompt_tokens = {limit}: raise it, or model.max_pixels")
    if rank() == 0 and len(fits) < len(table):
        print(f"{len(table) - len(fits)} of {len(table)} prompts left out: longer than {limit} tokens")
    if rank() == 0 and len(fits) < needed:
        times = f"{needed / len(fits):.3g} times, in another order each time"
        print(f"{len(fits)} prompts for {needed}: each is shown {times}")
    order = in_order(fits[:distinct].tolist(), needed, settings.seed)
    shown = int((table.data.column("pictures").to_numpy()[order] > 0).sum())
    if settings.train.shards > 1 and 0 < shown < needed:
        raise UserError(
            f"{needed - shown} of {needed} prompts have no picture, and processes that share their weights cannot "
            "train on them beside the others: keep one kind, or set train.sharding=none"
        )
    return table.select(order).select_columns(["id", "prompt", "images", "answer", "solution", "pictures"])


def in_order(rows: Sequence[int], needed: int, seed: int) -> list[int]:
    """`needed` of the rows: once as they stand, then again and again, each time shuffled by the seed."""
    order, epoch = [*rows], 1
    while len(order) < needed:
        order += Random(f"epoch-{epoch}-{seed}").sample(rows, len(rows))
        epoch += 1
    return order[:needed]
