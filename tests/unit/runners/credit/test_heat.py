from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from runners.credit.heat import LESS, MORE, page, picture, shades

FRAME = pd.DataFrame(
    {
        "rollout": 0,
        "position": range(4),
        "token": ["I", " <see>", "\n", "7"],
        "student": -0.5,
        "teacher": [-0.5, float("nan"), -0.4, -0.1],
        "delta": [0.0, float("nan"), 0.1, 0.4],
        "weight": [1.0, 1.0, 1.05, 1.2],
        "advantage": [0.5, 0.5, 0.5, 0.6],
        "reward": 1.0,
    }
)


def near(colour: tuple[int, int, int], to: tuple[int, int, int]) -> bool:
    """Whether white was mixed with this colour: each channel falls as far as the colour's own."""
    falls = [(255 - c) / (255 - t) for c, t in zip(colour, to, strict=True)]
    return max(falls) - min(falls) < 0.02 and min(falls) > 0.05


def test_shades_are_relative_to_the_replys_own_range() -> None:
    low, middle, high = shades(np.array([-3.0, 0.0, 3.0]))
    assert near(low, LESS)
    assert middle == (255, 255, 255)
    assert near(high, MORE)
    assert shades(np.array([-0.03, 0.0, 0.03])) == [low, middle, high]
    assert shades(np.array([0.4, 0.4, 0.4])) == [(255, 255, 255)] * 3


def test_a_page_has_the_numbers_and_no_markup_of_the_replys() -> None:
    text = page({"rlsd": FRAME}, "Item <1>")
    assert "Item &lt;1&gt;" in text
    assert "&lt;see&gt;" in text
    assert "<see>" not in text
    assert 'title="Δ +0.400, w 1.200, Â +0.600"' in text
    assert 'title="Δ –, w 1.000, Â +0.500"' in text


def test_a_picture_is_written_and_has_both_colours(tmp_path: Path) -> None:
    frame = FRAME.assign(advantage=[0.4, 0.5, 0.5, 0.6])
    picture({"rlsd": pd.concat([frame] * 2)}, tmp_path / "heat.png")
    with Image.open(tmp_path / "heat.png") as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()
    seen = {tuple(pixel) for pixel in pixels}
    assert {shades(frame["advantage"].to_numpy())[i] for i in (0, 3)} <= seen
