"""Scatter: names do not lie on one another."""

import re
from itertools import combinations

from reports.figures.looks import looks
from reports.figures.scatter import Point, Scatter
from reports.stats.estimate import Estimate


def test_names_of_equal_points_stand_below_one_another():
    look = looks(["mine"])["mine"]
    rate, score = Estimate(0.0, None, 10, 1, 0.0, 0.1), Estimate(0.5, 0.1, 10, 1)
    svg = str(Scatter(tuple(Point(f"name {i}", look, rate, score) for i in range(3)), "leaks", "score").svg())
    places = [(float(x), float(y)) for x, y in re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>name', svg)]
    assert len(places) == 3
    assert all(abs(a[1] - b[1]) >= 13 for a, b in combinations(places, 2))
    assert "score against leaks: name 0 50.0 at 0.0" in svg
