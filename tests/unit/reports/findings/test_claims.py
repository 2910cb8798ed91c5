"""The paper's claims over seeds, against scipy on numbers made up here."""

import pandas as pd
import pytest
from scipy import optimize, stats

from reports.findings.by_seed import COLUMNS, WINDOW, by_seed, csv, load
from reports.findings.claims import FAILED, HELD, OPEN, beside, findings, visible
from reports.suite.read import load_suite
from tests.support.report_suite import write_eval, write_run

AVERAGES = {
    "grpo": (0.60, 0.62, 0.61, 0.63, 0.60),
    "rlsd": (0.61, 0.64, 0.62, 0.63, 0.62),
    "opsd": (0.40, 0.44, 0.41, 0.39, 0.42),
    "sdpo": (0.55, 0.30, 0.41, 0.52, 0.35),
}


def frame(*rows: tuple[str, int, int, str, float]) -> pd.DataFrame:
    return pd.DataFrame([(m, m, seed, step, number, v) for m, seed, step, number, v in rows], columns=list(COLUMNS))


def averages() -> list[tuple[str, int, int, str, float]]:
    rows = [(m, seed, 100, "average", v) for m, values in AVERAGES.items() for seed, v in enumerate(values)]
    return [*rows, ("base", 0, 0, "average", 0.37)]


def by_words(rows: pd.DataFrame) -> dict[str, object]:
    return {finding.claim.words: finding for finding in findings(rows)}


def test_the_order_is_tested_by_seed_and_corrected_over_all_claims() -> None:
    found = by_words(frame(*averages()))
    pairs = {
        "RLSD scores above GRPO": stats.ttest_rel(AVERAGES["rlsd"], AVERAGES["grpo"]),
        "RLSD scores above OPSD": stats.ttest_rel(AVERAGES["rlsd"], AVERAGES["opsd"]),
        "RLSD scores above SDPO": stats.ttest_rel(AVERAGES["rlsd"], AVERAGES["sdpo"]),
        "GRPO scores above OPSD": stats.ttest_rel(AVERAGES["grpo"], AVERAGES["opsd"]),
        "GRPO scores above SDPO": stats.ttest_rel(AVERAGES["grpo"], AVERAGES["sdpo"]),
        "SDPO scores above OPSD": stats.ttest_rel(AVERAGES["sdpo"], AVERAGES["opsd"]),
        **{
            f"{label} scores above Base": stats.ttest_1samp(AVERAGES[method], 0.37)
            for method, label in (("rlsd", "RLSD"), ("grpo", "GRPO"), ("opsd", "OPSD"), ("sdpo", "SDPO"))
        },
    }
    tested = {words for words, finding in found.items() if finding.found is not None}
    assert tested == set(pairs)
    largest, order = 0.0, sorted(pairs, key=lambda words: pairs[words].pvalue)
    for rank, words in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * pairs[words].pvalue))
        assert found[words].found.p == pytest.approx(largest)
    first, ends = found["RLSD scores above GRPO"].found, pairs["RLSD scores above GRPO"].confidence_interval()
    assert (first.mean, first.low, first.high) == pytest.approx((1.2, 100 * ends.low, 100 * ends.high))
    assert found["RLSD scores above OPSD"].verdict == found["OPSD scores above Base"].verdict == HELD
    assert found["SDPO scores above OPSD"].verdict == OPEN
    assert found["GRPO+OPSD scores above SDPO"].verdict == "not run"


def test_seeds_that_only_one_side_has_are_left_out() -> None:
    """Of a suite that has not ended; a pairing is not given up for them."""
    rows = [row for row in averages() if not (row[0] == "rlsd" and row[1] > 2)]
    found = by_words(frame(*rows))["RLSD scores above GRPO"].found
    assert found.seeds == 3 and found.mean == pytest.approx(100 * (0.01 + 0.02 + 0.01) / 3)


def test_what_goes_the_other_way_is_not_held() -> None:
    rows = frame(*(("opsd", s, step, "training accuracy", v + s / 1000) for s in range(4) for step, v in
                   ((10, 0.4), (20, 0.7), (30, 0.3 + s / 500))))  # fmt: skip
    found = by_words(rows)
    assert found["OPSD ends above its start"].verdict == FAILED
    assert found["OPSD ends below its peak"].verdict == HELD
    assert found["OPSD ends below its peak"].found.mean == pytest.approx(100 * (0.3 - 0.7 + 0.003))
    assert found["RLSD ends above its start"].verdict == "not run"


def test_no_seed_picks_its_own_peak() -> None:
    """Each is highest by luck at a step of its own; of noise alone the peak of the others is no higher than the end."""
    luck = {0: (9, 0, 0, 0), 1: (0, 9, 0, 0), 2: (0, 0, 9, 0)}
    rows = [
        ("opsd", seed, 10 * (i + 1), "training accuracy", float(v))
        for seed, vs in luck.items()
        for i, v in enumerate(vs)
    ]
    assert by_words(frame(*rows))["OPSD ends below its peak"].found.mean == 0


def test_a_bound_is_tested_from_its_side() -> None:
    rates = (0.001, 0.002, 0.0, 0.001)
    rows = [("grpo", s, 100, "leakage mention", v) for s, v in enumerate(rates)]
    rows += [("rlsd", s, 100, "leakage mention", 0.0) for s in range(3)]
    found = by_words(frame(*rows))
    grpo = found["GRPO leaks in less than 1 % of its replies"]
    ends = stats.ttest_1samp([100 * v for v in rates], 1.0).confidence_interval()
    assert grpo.verdict == HELD and (grpo.found.mean, grpo.found.low, grpo.found.high) == pytest.approx(
        (0.1, ends.low, ends.high)
    )
    alike = found["RLSD leaks in less than 1 % of its replies"]
    assert alike.verdict == HELD and alike.found.p is None


def test_what_is_imitated_decides_how_much_leaks() -> None:
    """Means of the first 100 steps, whatever comes after."""
    rates = {"opsd@teacher-top-1": (0.6, 0.7, 0.65), "opsd": (0.4, 0.42, 0.38), "opsd@student-top-1": (0.5, 0.3, 0.4)}
    rows = [(m, s, 100, "training leakage", v) for m, values in rates.items() for s, v in enumerate(values)]
    rows += [(m, s, 110, "training leakage", 0.9) for m in rates for s in range(3)]
    found = by_words(frame(*rows))
    most = found["OPSD of the teacher's likeliest token leaks more than OPSD"]
    test = stats.ttest_rel(rates["opsd@teacher-top-1"], rates["opsd"]).confidence_interval()
    assert most.verdict == HELD and most.found.mean == pytest.approx(25)
    assert (most.found.low, most.found.high) == pytest.approx((100 * test.low, 100 * test.high))
    assert found["OPSD leaks more than OPSD of the student's likeliest token"].verdict == OPEN


def test_what_is_left_of_the_divergence() -> None:
    """In percent of the first ten steps' mean; OPSD's is .9, .8 and .85 of it, OPD's a half."""
    ends = {"opsd": (0.18, 0.16, 0.17), "opd@jsd": (0.1, 0.1, 0.1)}
    rows = [(m, s, 100, "training divergence", v) for m, values in ends.items() for s, v in enumerate(values)]
    rows += [(m, s, 10, "training divergence", 0.2) for m in ends for s in range(3)]
    found = by_words(frame(*rows))
    alike = found["OPSD keeps more of its first divergence than OPD of the same one"]
    assert alike.verdict == HELD and alike.found.mean == pytest.approx(35)
    assert found["OPSD keeps more of its first divergence than OPD of its own"].verdict == "not run"


def test_stable_improving_and_leaking_over_three_evaluations() -> None:
    """The paper has OPSD stable and no better than its base, and OPSD with the student's own weights the other way."""
    curves = {"opsd": (0.40, 0.40, 0.39), "opsd@online": (0.60, 0.50, 0.30), "rlsd": (0.40, 0.60, 0.70)}
    points = [(m, 50 * (i + 1), v) for m, curve in curves.items() for i, v in enumerate(curve)]
    rows = [(m, s, step, "average", v + s / 1000) for m, step, v in points for s in range(4)]
    rows += [(m, s, 150, "leakage mention", 0.4 + s / 100) for m in ("opsd", "opsd@online") for s in range(4)]
    base = ("base", 0, 0, "average", 0.37)
    found = by_words(frame(*rows, base))
    stable = "ends above 90 % of its held-out peak"
    assert found[f"OPSD {stable}"].found.mean == pytest.approx(97.5, abs=0.1)  # .39 of .40
    assert found[f"OPSD (online) {stable}"].found.mean == pytest.approx(50, abs=0.2)
    verdicts = {words: finding.verdict for words, finding in found.items() if finding.claim.source == "Table 3"}
    assert verdicts == {
        f"OPSD {stable}": HELD,
        f"OPSD (online) {stable}": HELD,
        f"RLSD {stable}": HELD,
        "OPSD ends above the base": FAILED,
        "OPSD (online) ends above the base": FAILED,
        "OPSD leaks in less than 1 % of its replies": HELD,
        "OPSD (online) leaks in less than 1 % of its replies": HELD,
    }
    few = frame(*(row for row in rows if row[2] > 50), base)
    assert {f.verdict for f in findings(few) if f.claim.source == "Table 3"} == {"not run"}


def test_two_methods_that_were_changed_alike_are_compared_once() -> None:
    """At the same other rate; a control's variant, with that variant of its method."""
    rates = {"grpo@fast": 0.7, "rlsd@fast": 0.72, "rlsd_flipped@fast": 0.6, "opd": 0.8}
    rows = [(m, s, 100, "average", v + s * s / 100) for m, v in rates.items() for s in range(3)]
    found = {(row.method, row.reference): row.found.mean for row in beside(frame(*averages(), *rows))}
    same = {pair: mean for pair, mean in found.items() if "fast" in pair[1]}
    assert same == pytest.approx(
        {
            ("rlsd@fast", "grpo@fast"): 2.0,
            ("rlsd_flipped@fast", "grpo@fast"): -10.0,
            ("rlsd_flipped@fast", "rlsd@fast"): -12.0,
        }
    )
    assert {pair for pair in found if pair not in same} == {
        (method, published) for method in rates for published in ("grpo", "rlsd")
    }


def test_the_smallest_visible_difference_is_near_the_exact_one() -> None:
    """Of the noncentral t, which the approximation stands for."""
    for n in (5, 10):
        df, t = n - 1, stats.t.ppf(0.975, n - 1)
        exact = optimize.brentq(lambda d: stats.nct.sf(t, df, d) - 0.8, 0.1, 20)  # noqa: B023
        assert visible(1.0, n) == pytest.approx(exact, rel=0.06)


def test_the_table_of_seeds_is_the_runs_own(tmp_path) -> None:
    run = write_run(tmp_path / "s", "grpo", 3)
    write_eval(run, 60, (30, 32, 20, 4, 9))
    (run / "exact.json").write_text('{"checkpoint": "checkpoint-60", "n": 9, "score": 0.25}')
    suite = load_suite(tmp_path / "s")
    found = by_seed(suite)
    held = found[~found["number"].str.startswith("training")].set_index("number")["value"]
    assert held["mmmu"] == 30 / 60 and held["exact"] == 0.25 and set(found["seed"]) == {3}
    raw = suite.metrics.set_index("step")["reward"]
    means = found[found["number"] == "training reward"].set_index("step")["value"]
    assert means.loc[WINDOW] == pytest.approx(raw.loc[1:WINDOW].mean())
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "seeds.csv").write_text(csv(suite))
    assert load(tmp_path / "r").equals(load(tmp_path / "s"))
