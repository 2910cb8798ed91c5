"""A made-up suite of the paper's size, and what its report costs: time, memory, bytes of the page.

python -m tests.support.big_suite FOLDER [seeds of each method]
"""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from reports.suite.paper import LABELS
from tests.support.paths import ROOT
from tests.support.report_suite import REPLIES, result, write_json, write_run

UNITS = {"mmmu": 900, "mathvista": 1000, "mathvision": 3040, "zerobench": 334, "wemath": 525}
PARTS = {"wemath": ("/3steps_1", "/3steps_2", "/3steps_3", "/3steps_multi")}  # 7,374 rows in all
STEPS = 200
REPLY = "The picture shows a figure. " * 30


def write(suite: Path, seeds: int = 5) -> Path:
    """The base and five methods with `seeds` each, their replies and STEPS steps of metrics."""
    rng = np.random.default_rng(0)
    hard = {bench: rng.standard_normal(units) for bench, units in UNITS.items()}
    for i, method in enumerate(LABELS):
        for seed in range(1 if method == "base" else seeds):
            run = write_run(suite, method, seed, STEPS)
            step = 0 if method == "base" else STEPS
            for bench, hard_U in hard.items():
                right_U = 0.1 * i + hard_U + rng.standard_normal(len(hard_U)) > 0
                _write_bench(run / "eval" / str(step) / bench, bench, right_U, rng)
            leakage = {
                "label": "mention a reference",
                "meaning": "Phrases.",
                "rate": 0.01,
                "stderr": 0.001,
                "n": REPLIES,
            }
            write_json(run / "eval" / str(step) / "leakage.json", {"mention": leakage})
    return suite


def _write_bench(folder: Path, bench: str, right_U: np.ndarray, rng: np.random.Generator) -> None:
    n, parts = len(right_U), PARTS.get(bench, ("",))
    rows = [(f"{bench}-{i}{part}", f"{bench}-{i}", bool(right)) for i, right in enumerate(right_U) for part in parts]
    frame = pd.DataFrame(rows, columns=["id", "cluster", "correct"]).assign(sample=0, reply=REPLY)
    found = np.flatnonzero(rng.random(len(frame)) < 0.01).tolist()
    score = float(right_U.mean())
    told = {"score": score, "stderr": math.sqrt(score * (1 - score) / n), "n": n, "edition": "official"}
    finds = {"mention": {"found": found, "n": len(found), "phrases": {}}}
    write_json(folder / "result.json", result(bench, 1, leakage=finds, **told))
    frame.to_parquet(folder / "samples.parquet")


# By a small process in between: what a child's peak begins with is its parent's memory.
MEASURE = """
import os, subprocess, sys, time
start = time.monotonic()
used = os.wait4(subprocess.Popen(sys.argv[1:]).pid, 0)[2]
cpu = used.ru_utime + used.ru_stime
print(f"{time.monotonic() - start:.1f} s, {cpu:.1f} s of CPU, {used.ru_maxrss / 2**10:.0f} MiB")
"""


def main(folder: str, seeds: str = "5") -> None:
    suite = Path(folder)
    if not suite.exists():
        write(suite, int(seeds))
    report = [sys.executable, str(ROOT / "cli.py"), "report", str(suite)]
    subprocess.run([sys.executable, "-c", MEASURE, *report], check=True)
    print(f"page {(suite / 'report' / 'report.html').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
