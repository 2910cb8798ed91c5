"""A picture is preprocessed once, however many rollouts and calls see it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import BatchFeature


def laid_by_grids(processor: Any) -> bool:
    """Whether the image processor lays patches end to end and says by `image_grid_thw` how many are whose; not so of a
    tokenizer."""
    return "image_grid_thw" in getattr(getattr(processor, "image_processor", None), "model_input_names", ())


@contextmanager
def pictures_once(processor: Any) -> Iterator[None]:
    """Inside, `processor` preprocesses each distinct picture once, whatever calls see it; results are the same.

    For PIL pictures and image processors that are `laid_by_grids` (Qwen-VL). Pictures are known by content: a data set
    decodes one anew for every rollout. Calls with the same pictures in the same order share their tensors, which must
    not be changed in place. Nothing is kept beyond the block.
    """
    images = processor.image_processor
    preprocess = images.preprocess
    numbers: dict[tuple[Any, ...], int] = {}
    known: list[tuple[Tensor, Tensor]] = []  # of each number, the patches (N, features) and the grid (3,)
    batches: dict[tuple[int, ...], dict[str, Tensor]] = {}

    def once(pictures: Any, return_tensors: Any = None, **kwargs: Any) -> BatchFeature:
        options = repr(sorted(kwargs.items()))
        new: list[Any] = []
        batch: list[int] = []
        for picture in _flat(pictures):
            number = numbers.setdefault((options, *content(picture)), len(numbers))
            if number == len(known) + len(new):
                new.append(picture)
            batch.append(number)
        if new:
            out = preprocess(new, return_tensors="pt", **kwargs)
            grids = out["image_grid_thw"]
            known.extend(zip(out["pixel_values"].split(grids.prod(-1).tolist()), grids, strict=True))
        if tuple(batch) not in batches:
            pixels, grids = zip(*(known[number] for number in batch), strict=True)
            batches[tuple(batch)] = {"pixel_values": torch.cat(pixels), "image_grid_thw": torch.stack(grids)}
        return BatchFeature(dict(batches[tuple(batch)]), tensor_type=return_tensors)

    images.preprocess = once
    try:
        yield
    finally:
        del images.preprocess  # the method of its class is back


def _flat(pictures: Any) -> list[Any]:
    return [p for part in pictures for p in _flat(part)] if isinstance(pictures, list | tuple) else [pictures]


def content(picture: Any) -> tuple[Any, ...]:
    """By which a PIL picture is known."""
    palette = tuple(picture.getpalette() or ())
    return picture.mode, picture.size, palette, picture.info.get("transparency"), picture.tobytes()
