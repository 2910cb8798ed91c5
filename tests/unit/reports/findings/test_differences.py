"""Differences of all pairs: by hand from the fixture's counts, where the first k units of a bench are right."""

import csv
import io
import json
import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.findings.differences import best, differences, differs
from reports.sections import SECTIONS
from reports.sections.differences import trainings
from reports.suite.paper import LABELS
from reports.suite.read import load_suite
from reports.writers.tables import latex, markdown, tidy_csv
from tests.support.report_suite import CORRECT, N, build, write_eval, write_run, write_suite

DIFFERENCES = SECTIONS["differences"]


@pytest.fixture(scope="module")
def found(suite):
    return differences(load_suite(suite))


def by_hand(a, b):
    """Mean difference of the average over benches, its standard error, and Student's p (Satterthwaite)."""
    means, variances = [], []
    for n, right_a, right_b in zip(N.values(), CORRECT[a], CORRECT[b], strict=True):
        items = (np.arange(n) < right_a).astype(float) - (np.arange(n) < right_b)
        means.append(items.mean())
        variances.append(items.var(ddof=1) / n / 25)
    variance = sum(variances)
    df = variance**2 / sum(v**2 / (n - 1) for v, n in zip(variances, N.values(), strict=True))
    mean = float(np.mean(means))
    return mean, math.sqrt(variance), float(2 * stats.t.sf(abs(mean) / math.sqrt(variance), df))


def test_every_pair_on_the_average_by_hand(found):
    hand = {(a, b): by_hand(a, b) for b, a in combinations(LABELS, 2)}
    assert list(found.labels) == list(LABELS)
    assert [column.head for column in found.columns][:2] == ["Average mini", "MMMU mini"]
    assert list(found.pairs["average"]) == list(hand)
    largest, order = 0.0, sorted(hand, key=lambda pair: hand[pair][2])
    for rank, pair in enumerate(order):  # Holm, step by step
        largest = max(largest, min(1.0, (15 - rank) * hand[pair][2]))
        cell = found.between(*pair, "average")
        assert cell.mean == pytest.approx(hand[pair][0])
        assert cell.stderr == pytest.approx(hand[pair][1])
        assert cell.p == pytest.approx(largest)
        assert (cell.low, cell.high) == pytest.approx(
            [cell.mean - 1.97 * cell.stderr, cell.mean + 1.97 * cell.stderr], abs=0.004
        )
        assert differs(cell) == (largest < 0.05)


def test_a_pair_reads_the_same_from_both_sides(found):
    there, back = found.between("rlsd", "base", "mmmu"), found.between("base", "rlsd", "mmmu")
    assert there.mean == pytest.approx(9 / 60)
    assert (back.mean, back.low, back.high) == (-there.mean, -there.high, -there.low)
    assert back.p == there.p
    assert found.between("rlsd", "mine", "average") is None


def test_the_best_are_those_that_no_test_tells_from_the_highest(found):
    scores = found.scores["average"]
    assert scores["rlsd"] == pytest.approx(np.mean([39 / 60, 44 / 64, 30 / 50, 7 / 40, 18 / 36]))
    told_apart = {m for m in scores if m != "rlsd" and found.between("rlsd", m, "average").p < 0.05}
    assert told_apart
    assert best(found, "average") == set(LABELS) - told_apart
    assert best(found, "nothing") == frozenset()


def test_table2_is_bold_where_the_best_are(suite, found):
    ours, _ = SECTIONS["table2"].tables(SECTIONS["table2"].compute(load_suite(suite)))
    bold = {
        row.method for row in ours.rows if dict(zip(ours.columns, ours.marked(row), strict=True))[ours.columns[-1]][1]
    }
    assert bold == best(found, "average")
    assert f"**{ours.shown(ours.rows[-1])[-1]}**" in markdown(SECTIONS["table2"], [ours])
    assert rf"\textbf{{\boldmath {ours.shown(ours.rows[-1])[-1]}}}".replace("±", r"$\pm$") in latex(
        SECTIONS["table2"], [ours]
    )
    assert "Bold: the best of its column" in ours.meaning


def test_a_row_that_cannot_be_tested_leaves_its_column_without_bold(tmp_path):
    folder = write_suite(tmp_path / "demo")
    (folder / "rlsd/seed0/eval/60/mmmu/samples.parquet").write_bytes(b"torn")
    suite = load_suite(folder)
    found = differences(suite)
    assert found.between("rlsd", "base", "mmmu") is None
    assert found.between("rlsd", "base", "average") is None
    assert found.between("rlsd", "base", "wemath") is not None
    assert found.missing == (
        "MMMU is not compared for rlsd/seed0: samples.parquet, which holds the replies one by one, "
        "is missing or broken.",
    )
    ours, _ = SECTIONS["table2"].tables(SECTIONS["table2"].compute(suite))
    assert not ours.best["mmmu"]
    assert not ours.best["average"]


def test_other_items_are_not_compared(tmp_path):
    suite = write_suite(tmp_path / "demo")
    path = suite / "opsd/seed0/eval/60/zerobench/samples.parquet"
    frame = pd.read_parquet(path)
    frame.assign(id=frame["id"] + "x").to_parquet(path)
    found = differences(load_suite(suite))
    assert "zerobench" not in found.scores
    assert "average" not in found.scores
    assert found.missing[0].startswith("ZeroBench cannot be compared item by item: zerobench: ")
    assert found.between("rlsd", "grpo", "mmmu").mean == pytest.approx(3 / 60)


def test_seeds_are_paired_and_part_of_a_bench_has_no_average(tmp_path):
    for method in ("grpo", "rlsd"):
        for seed in (0, 1):
            more = tuple(right + 2 * seed for right in CORRECT[method])
            write_eval(write_run(tmp_path / "s", method, seed), 60, more)
    found = differences(load_suite(tmp_path / "s"))
    assert found.reference == "grpo"
    cell = found.between("rlsd", "grpo", "mmmu")
    assert cell.mean == pytest.approx(3 / 60)
    assert cell.seeds == 2
    for path in (tmp_path / "s").glob("*/seed*/eval/60/mmmu/result.json"):
        path.write_text(path.read_text().replace('"mini"', '"official"'))
    columns = [column.head for column in differences(load_suite(tmp_path / "s")).columns]
    assert columns[0] == "MMMU 60 of 900"
    assert not any(head.startswith("Average") for head in columns)


def test_tables_say_what_the_pairs_say(suite, found):
    shown = DIFFERENCES.tables(DIFFERENCES.compute(load_suite(suite)))
    lines = list(csv.DictReader(io.StringIO(tidy_csv(DIFFERENCES, shown))))
    of_bench = {(line["method"], line["bench"]): line for line in lines if line["bench"]}
    of_pair = {(line["method"], line["against"]): line for line in lines if line["against"] and line["difference"]}
    assert len(of_bench) == 5 * 6
    assert len(of_pair) == 15
    for (a, b), line in of_pair.items():
        cell = found.between(a, b, "average")
        told = [float(line[name]) for name in ("difference", "stderr", "low", "high", "p")]
        assert told == pytest.approx([cell.mean, cell.stderr, cell.low, cell.high, cell.p], abs=1e-6)
    assert float(of_bench["opsd", "mmmu"]["difference"]) == pytest.approx(-6 / 60)
    assert "| OPSD | −3.6 (" in markdown(DIFFERENCES, shown)
    assert r"$-$3.6\\(" in latex(DIFFERENCES, shown)


def test_json_has_every_number(page):
    numbers = json.loads((page.parent / "report.json").read_text())["paired_differences"]
    pair = next(each for each in numbers["pairs"] if (each["a"], each["b"]) == ("rlsd", "grpo"))
    assert list(pair["columns"]) == ["average", *N]
    mmmu = pair["columns"]["mmmu"]
    assert mmmu["mean"] == pytest.approx(0.05)
    assert mmmu["mcnemar_p"] == pytest.approx(stats.binomtest(3, 3).pvalue)
    assert mmmu["p"] <= mmmu["holm_p"]
    assert numbers["reference"] == "base"
    assert '<th scope="row">RLSD</th>' in page.read_text()


def test_labels_cannot_break_out(tmp_path):
    suite = write_suite(tmp_path / "demo")
    label = r"<script>alert(1)</script> [50% \input{x} $x^"
    write_eval(write_run(suite, "mine", label=label), 60, CORRECT["rlsd"])
    page = build(suite)
    assert "<script>alert" not in page.read_text()
    tex = (page.parent / "differences.tex").read_text()
    assert r"\input" not in tex
    assert r"{[}50\% \textbackslash{}input\{x\} \$x\textasciicircum{}" in tex
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}")
    assert "<script" not in (page.parent / "differences.md").read_text()
    assert (page.parent / "figures/differences.svg").exists()


def test_fewer_than_two_rows_have_no_section(tmp_path):
    write_eval(write_run(tmp_path / "s", "grpo"), 60, CORRECT["grpo"])
    assert DIFFERENCES.compute(load_suite(tmp_path / "s")) is None


def test_trainings_are_tested_by_seed_and_corrected(tmp_path):
    right = {"grpo": (30, 33, 34), "rlsd": (36, 40, 38), "opsd": (20, 25)}
    for method, counts in right.items():
        for seed, k in enumerate(counts):
            write_eval(write_run(tmp_path / "s", method, seed), 60, (k, 32, 20, 4, 9))
    write_eval(write_run(tmp_path / "s", "sdpo"), 60, (30, 32, 20, 4, 9))  # one seed has no spread
    found = trainings(load_suite(tmp_path / "s"), "mmmu")
    shares = {method: [k / 60 for k in counts] for method, counts in right.items()}
    paired = stats.ttest_rel(shares["rlsd"], shares["grpo"])
    apart = {
        ("rlsd", "grpo"): paired.pvalue,
        ("rlsd", "opsd"): stats.ttest_rel(shares["rlsd"][:2], shares["opsd"]).pvalue,  # all seeds that OPSD has
        ("opsd", "grpo"): stats.ttest_rel(shares["opsd"], shares["grpo"][:2]).pvalue,
    }
    assert found.keys() == apart.keys()
    corrected, largest = {}, 0.0
    for rank, pair in enumerate(sorted(apart, key=apart.__getitem__)):
        largest = corrected[pair] = max(largest, min(1.0, (3 - rank) * apart[pair]))
    assert {pair: cell.p for pair, cell in found.items()} == pytest.approx(corrected)
    cell = found["rlsd", "grpo"]
    assert (cell.low, cell.high) == pytest.approx(tuple(paired.confidence_interval()))
