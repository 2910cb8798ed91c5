"""Rows of families whose patches no grid counts keep each row's picture fields."""

import torch

from runners.forward.batch import Rows, end_to_end, together


def _rows() -> Rows:
    """Three rows of a token each: one picture of two tiles, none, two pictures of one tile."""
    one_B1 = torch.arange(3)[:, None]
    fields = [
        {"pixel_values": torch.full((1, 2, 3), 1.0), "image_sizes": torch.tensor([[4, 8]])},
        {},
        {"pixel_values": torch.full((2, 1, 4), 2.0), "image_sizes": torch.tensor([[4, 4], [5, 5]])},
    ]
    return Rows(one_B1, one_B1, one_B1, one_B1, one_B1, fields_B=fields, types_name="token_type_ids")


def test_fields_are_padded_to_the_largest_of_the_rows_that_are_shown() -> None:
    shown = _rows().model_inputs()
    assert shown["pixel_values"].shape == (3, 2, 4)
    assert shown["pixel_values"][0, :, 3].tolist() == [0.0, 0.0]
    assert shown["pixel_values"][1:, 0].tolist() == [[2.0] * 4] * 2
    assert shown["image_sizes"].tolist() == [[4, 8], [4, 4], [5, 5]]
    assert shown["token_type_ids"].tolist() == [[0, 0], [1, 0], [2, 0]]


def test_rows_keep_their_own_fields_wherever_they_go() -> None:
    rows = _rows()
    assert rows.select([2, 1]).model_inputs()["image_sizes"].tolist() == [[4, 4], [5, 5]]
    assert "pixel_values" not in rows.select([1]).model_inputs()
    again = together(rows.split(2))
    assert (again.fields_B, again.types_name) == (rows.fields_B, rows.types_name)


def test_parts_of_one_shape_are_laid_end_to_end() -> None:
    assert torch.equal(end_to_end([torch.ones(1, 2), torch.zeros(2, 2)]), torch.tensor([[1.0, 1], [0, 0], [0, 0]]))
