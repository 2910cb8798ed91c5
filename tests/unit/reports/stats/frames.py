"""Frames of items, written by hand."""

import pandas as pd


def frame(values, bench="q", seed=0, clusters=None, method=""):
    """One row a value; units are numbered, and clusters are the units unless given."""
    units = [f"{bench}{i}" for i in range(len(values))]
    found = {"bench": bench, "unit": units, "cluster": clusters or units, "seed": seed, "value": values}
    return pd.DataFrame(found | {"method": method})
