"""A batch of prompts with their completions, and which of its rows are one group: one prompt, one set of pictures."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

PICTURES = ("pixel_values", "image_grid_thw")  # the fields of Rows.pictures
TENSORS = ("prompt_BP", "prompt_mask_BP", "completion_BT", "completion_mask_BT", "types_BP")  # of Rows
SAMPLE = 16  # patches of a picture that are looked at first
Image = tuple[Tensor, Tensor]  # the patches (N, features) of a picture and its grid (3,)


@dataclass(frozen=True)
class Rows:
    """B prompts (left-padded) with their T completion tokens (right-padded), and the pictures, which may be elsewhere:
    a pass takes to the device what it shows."""

    prompt_BP: Tensor
    prompt_mask_BP: Tensor
    completion_BT: Tensor
    completion_mask_BT: Tensor
    types_BP: Tensor | None = None  # 1 on picture tokens; Qwen-VL's rotary positions need it
    pictures: dict[str, Tensor] = field(default_factory=dict)  # pixel_values, image_grid_thw
    images_B: list[int] = field(default_factory=list)  # pictures of each row
    # Of families whose patches no grid counts: each row's picture fields, as the processor makes them of it alone.
    fields_B: list[dict[str, Tensor]] = field(default_factory=list)
    types_name: str = "mm_token_type_ids"  # as the model calls `types_BP`

    def model_inputs(self) -> dict[str, Any]:
        inputs = {
            "input_ids": torch.cat([self.prompt_BP, self.completion_BT], 1),
            "attention_mask": torch.cat([self.prompt_mask_BP, self.completion_mask_BT], 1),
            **{name: shown.to(self.prompt_BP.device) for name, shown in self.pictures.items()},
        }
        if self.types_BP is not None:
            inputs[self.types_name] = torch.cat([self.types_BP, torch.zeros_like(self.completion_BT)], 1)
        for name in {name: None for fields in self.fields_B for name in fields}:
            inputs[name] = end_to_end([f[name] for f in self.fields_B if name in f]).to(self.prompt_BP.device)
        return inputs

    def images_of(self) -> list[Image]:
        """Each picture, in order."""
        if not self.pictures:
            return []
        grids = self.pictures["image_grid_thw"]
        return list(zip(self.pictures["pixel_values"].split(grids.prod(-1).tolist()), grids, strict=True))

    def select(self, keep: list[int]) -> "Rows":
        """These rows alone, each with its own pictures, under the batch's padding."""
        if keep == list(range(len(self.prompt_BP))):
            return self
        index = torch.tensor(keep, device=self.prompt_BP.device)
        own: list[Image] = []
        if self.pictures:
            first = torch.tensor([0, *self.images_B]).cumsum(0).tolist()
            images = self.images_of()
            own = [images[i] for row in keep for i in range(first[row], first[row + 1])]
        tensors: dict[str, Any] = {n: value[index] for n in TENSORS if (value := getattr(self, n)) is not None}
        images_B = [self.images_B[row] for row in keep] if self.images_B else []
        fields_B = [self.fields_B[row] for row in keep] if self.fields_B else []
        return replace(self, **tensors, pictures=pictures_of(own), images_B=images_B, fields_B=fields_B)

    def split(self, size: int) -> list["Rows"]:
        """The same rows in slices of at most `size`."""
        total = len(self.prompt_BP)
        return [self.select(list(range(start, min(start + size, total)))) for start in range(0, total, size)]


def pictures_of(images: list[Image]) -> dict[str, Tensor]:
    """The fields of Rows.pictures: the way back from `Rows.images_of`."""
    if not images:
        return {}
    pixels, grids = zip(*images, strict=True)
    return {"pixel_values": torch.cat(pixels), "image_grid_thw": torch.stack(grids)}


def together(parts: list[Rows]) -> Rows:
    """Micro-batches under one padding as one batch: the way back from `Rows.split`."""
    first, pictures = parts[0], [rows.pictures for rows in parts if rows.pictures]
    there = [name for name in TENSORS if getattr(first, name) is not None]
    tensors: dict[str, Any] = {name: torch.cat([getattr(rows, name) for rows in parts]) for name in there}
    shown = {name: torch.cat([p[name] for p in pictures]) for name in pictures[0]} if pictures else {}
    images_B = [count for rows in parts for count in rows.images_B]
    fields_B = [fields for rows in parts for fields in rows.fields_B]
    return replace(first, **tensors, pictures=shown, images_B=images_B, fields_B=fields_B)


def end_to_end(parts: list[Tensor]) -> Tensor:
    """Rows of one picture field in one tensor, each padded with zeros to the largest, as processors pad a batch."""
    largest = [max(part.shape[d] for part in parts) for d in range(1, parts[0].dim())]

    def padded(part: Tensor) -> Tensor:
        lacking = [n - m for n, m in zip(largest, part.shape[1:], strict=True)]
        return pad(part, [x for n in reversed(lacking) for x in (0, n)])

    return torch.cat([padded(part) for part in parts])


class Group(NamedTuple):
    """Rows that share their prompt and pictures; `images` count through the batch's distinct pictures."""

    rows: list[int]
    images: tuple[int, ...]


class Groups(NamedTuple):
    groups: list[Group]
    images: list[Image]  # the distinct pictures


def groups_of(rows: Rows) -> Groups:
    """The groups of a batch in the order of their first rows, wherever their rows stand."""
    distinct: list[Image] = []
    seen: dict[tuple[Any, ...], list[int]] = {}
    numbers = []
    for pixels, grid in rows.images_of():
        # A sum over some patches only finds candidates; equality decides.
        some = pixels[:: len(pixels) // SAMPLE + 1]
        alike = seen.setdefault((*grid.tolist(), some.sum(dtype=torch.float64).item()), [])
        number = next((i for i in alike if torch.equal(distinct[i][0], pixels)), None)
        if number is None:
            number = len(distinct)
            alike.append(number)
            distinct.append((pixels, grid))
        numbers.append(number)
    found: dict[tuple[Any, ...], Group] = {}
    first = 0
    prompts = rows.prompt_BP.masked_fill(rows.prompt_mask_BP == 0, -1).tolist()
    for row, ids in enumerate(prompts):
        count = rows.images_B[row] if rows.images_B else 0
        images = tuple(numbers[first : first + count])
        first += count
        found.setdefault((tuple(ids), images), Group([], images)).rows.append(row)
    return Groups(list(found.values()), distinct)
