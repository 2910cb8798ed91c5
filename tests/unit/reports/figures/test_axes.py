"""What pictures are made of: ticks, labels, and files of their own."""

import xml.etree.ElementTree as ET

import pytest

from reports.figures.axes import Scale, number, standalone
from reports.figures.looks import looks


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (-3.2, 13.4, [0, 5, 10]),
        (0.31, 0.36, [0.31, 0.32, 0.33, 0.34, 0.35, 0.36]),
        (1, 200, [50, 100, 150, 200]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert Scale(low, high, 0, 1).ticks(5) == pytest.approx(ticks)


def test_a_scale_is_linear_also_upside_down():
    scale = Scale(-1, 3, 200, 100)
    assert [scale(-1), scale(0), scale(3)] == [200, 175, 100]


def test_numbers_have_the_digits_that_tell_ticks_apart():
    assert [number(v, [0.0, 0.05]) for v in (0.0, 0.05, -0.05)] == ["0.00", "0.05", "−0.05"]
    assert number(20.0, [0.0, 10.0, 20.0]) == "20"


def test_a_file_of_its_own_is_xml_with_its_style():
    root = ET.fromstring(standalone(looks(["grpo"])["grpo"]))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert ".thick" in root[0].text
