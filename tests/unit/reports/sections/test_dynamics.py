"""Training dynamics: which metrics get a panel, and their curves."""

import json
import re

from reports.sections.dynamics import dynamics
from reports.suite.read import load_suite
from tests.support.report_suite import CORRECT, build, write_eval, write_run


def test_mean_curve_is_over_the_steps_that_every_seed_reached(tmp_path):
    for seed, rows in ((0, [1.0, 3.0, 5.0]), (1, [3.0, 5.0])):
        run = write_run(tmp_path / "s", "rlsd", seed)
        lines_ = [json.dumps({"step": i + 1, "lambda": v}) for i, v in enumerate(rows)]
        (run / "metrics.jsonl").write_text("\n".join(lines_))
    ((panel, lines),) = dynamics(load_suite(tmp_path / "s")).panels
    (curve,) = lines.curves
    seeds, mean = curve.seeds, curve.mean
    assert mean.to_dict() == {1: 2.0, 2: 4.0}
    assert seeds[0].tolist() == [1.0, 3.0, 5.0]
    assert panel.key == "lambda"
    assert curve.method == "rlsd"


def test_a_method_looks_the_same_in_every_figure(tmp_path):
    """Though another row, not evaluated yet, is in some of them alone."""
    for method in ("grpo", "own-a", "own-b", "own-c"):
        run = write_run(tmp_path / "s", method)
        if method != "own-a":
            write_eval(run, 60, CORRECT["rlsd"])
    page = build(tmp_path / "s").read_text()
    looked = re.findall(r'<g class="m" style="([^"]+)"[^>]*>(?:(?!</g>).)*?<title>own-b\b', page)
    assert len(looked) > 10 and len(set(looked)) == 1


def test_a_metric_that_a_run_declares_is_a_panel(tmp_path):
    told = {"title": "Surprise <of> $x", "unit": "share of tokens", "help": "How <odd> it is."}
    run = write_run(tmp_path / "s", "mine", label="Mine", metrics={"a/surprise": told, "entropy": {"help": "Mine."}})
    words = {"title": "Entropy", "help": "GRPO's."}
    write_run(tmp_path / "s", "grpo", metrics={"entropy": words, "never": told, "broken": "words"})
    rows = [{"step": 1, "a/surprise": 0.25, "entropy": 1.0, "secret": 3.0, "broken": 1.0}, {"step": 2, "entropy": 1.0}]
    (run / "metrics.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    found = {panel.key: (panel, lines.curves) for panel, lines in dynamics(load_suite(tmp_path / "s")).panels}
    assert list(found) == ["entropy", "a/surprise"]
    panel, (curve,) = found["a/surprise"]
    assert (panel.title, panel.unit, panel.help) == tuple(told.values())
    assert curve.mean.to_dict() == {1: 25.0}
    assert panel.drawn_unit == "% of tokens"
    assert found["entropy"][0].help == "GRPO's."  # the first row's words
    assert found["entropy"][0].title == "Entropy"
    page = build(tmp_path / "s")
    assert "How &lt;odd&gt; it is." in page.read_text()
    assert (page.parent / "figures/a_surprise.svg").exists()
