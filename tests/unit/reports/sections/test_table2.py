"""Table 2: values, standard errors and its three formats."""

import csv
import io
import math
import re

import numpy as np
import pytest

from reports.sections.settings import method_parameters, setting_differences
from reports.sections.table2 import COLUMNS, percent, table2
from reports.stats.estimate import over_benches
from reports.suite import paper
from reports.suite.read import load_suite
from reports.writers.tables import CSV_COLUMNS, latex, markdown, tidy_csv
from tests.support.report_suite import CORRECT, LABELS, write_eval, write_run, write_suite


def cells(table, method):
    return next(row for row in table.rows if row.method == method).cells


def test_over_benches_by_hand():
    mean, stderr = over_benches([0.5, 0.5, 0.4, 0.1, 0.25], [0.1] * 5)
    assert mean == pytest.approx(0.35)
    assert stderr == pytest.approx(math.sqrt(5 * 0.01) / 5)


def test_single_seed_cells(tmp_path):
    table = table2(load_suite(write_suite(tmp_path / "demo")))
    assert [row.label for row in table.rows] == ["Base", "GRPO", "OPSD", "SDPO", "GRPO+OPSD", "RLSD"]
    grpo = cells(table, "grpo")
    assert percent(grpo["mmmu"]) == "60.0 ± 6.3"  # 36 of 60: sqrt(.6 * .4 / 60) = .06325
    assert percent(grpo["average"]) == "47.5 ± 3.0"  # .6 .625 .5 .15 .5
    assert grpo["mmmu"].n == 60
    assert table.column_label("mmmu") == "MMMU mini"


def test_two_seeds_have_the_error_of_items_and_training_together(tmp_path):
    suite = tmp_path / "s"
    for seed, right in ((0, (15, 16, 10, 10, 9)), (1, (45, 48, 40, 30, 27))):
        write_eval(write_run(suite, "grpo", seed), 60, right)
    found = cells(table2(load_suite(suite)), "grpo")
    # MMMU: the first 15 of 60 are right twice, 30 once, 15 never; the scores are .25 and .75.
    items = np.var([1] * 15 + [0.5] * 30 + [0] * 15, ddof=1) / 60
    luck = np.var([1] * 30 + [0] * 30, ddof=1) / 4 / 60
    assert found["mmmu"].mean == pytest.approx(0.5)
    assert found["mmmu"].stderr == pytest.approx(math.sqrt(items + 0.125 / 2 - luck))
    assert found["mmmu"].seeds == found["average"].seeds == 2
    # The average's training part is that of the seeds' averages: all benches rise together.
    first = np.mean([15 / 60, 16 / 64, 10 / 50, 10 / 40, 9 / 36])
    second = np.mean([45 / 60, 48 / 64, 40 / 50, 30 / 40, 27 / 36])
    average = found["average"]
    assert average.mean == pytest.approx((first + second) / 2)
    assert average.stderr == pytest.approx((second - first) / 2, rel=0.02)  # sqrt(variance / 2); items add little


def test_several_seeds_without_their_samples_have_no_error(tmp_path):
    suite = tmp_path / "s"
    for seed in (0, 1):
        write_eval(write_run(suite, "grpo", seed), 60, CORRECT["grpo"])
    (suite / "grpo/seed1/eval/60/wemath/samples.parquet").unlink()
    found = cells(table2(load_suite(suite)), "grpo")
    assert found["mmmu"].stderr is not None
    assert found["wemath"].stderr is None
    assert found["average"].stderr is None
    assert percent(found["wemath"]) == "50.0"


def test_unfinished_run_counts_only_without_a_finished_one(tmp_path):
    suite = tmp_path / "s"
    write_eval(write_run(suite, "grpo", 0), 60, CORRECT["grpo"])
    write_eval(write_run(suite, "grpo", 1, status="running", steps_done=20), 20, CORRECT["opsd"])
    write_eval(write_run(suite, "rlsd", 0, status="running", steps_done=20), 20, CORRECT["rlsd"])
    table = table2(load_suite(suite))
    assert cells(table, "grpo")["mmmu"].mean == pytest.approx(36 / 60)
    assert [row.shown_label for row in table.rows if not row.finished] == ["RLSD †"]
    assert any("†" in note for note in table.notes())


def test_missing_bench_and_null_score_leave_cell_and_average_empty(tmp_path):
    suite = write_suite(tmp_path / "s")
    (suite / "grpo/seed0/eval/60/mmmu/result.json").unlink()
    path = suite / "rlsd/seed0/eval/60/zerobench/result.json"
    path.write_text(path.read_text().replace('"score": 0.175', '"score": null'))
    table = table2(load_suite(suite))
    assert cells(table, "grpo")["mmmu"] is None
    assert cells(table, "grpo")["average"] is None
    assert cells(table, "rlsd")["zerobench"] is None
    assert cells(table, "rlsd")["average"] is None
    assert cells(table, "rlsd")["mmmu"].mean == pytest.approx(39 / 60)


def test_unknown_methods_follow_the_papers_rows_by_name(tmp_path):
    suite = write_suite(tmp_path / "s")
    for method in ("zeta", "alpha"):
        write_eval(write_run(suite, method, label=method.title()), 60, CORRECT["grpo"])
    assert [row.label for row in table2(load_suite(suite)).rows] == [*LABELS.values(), "Alpha", "Zeta"]


def test_csv_markdown_and_latex_agree(tmp_path):
    suite = write_suite(tmp_path / "demo")
    write_eval(write_run(suite, "rlsd", 1), 60, (42, 40, 31, 9, 15))
    (suite / "sdpo/seed0/run.json").unlink()
    table = table2(load_suite(suite))
    rows = list(csv.DictReader(io.StringIO(tidy_csv(table))))
    assert tuple(rows[0]) == CSV_COLUMNS

    def shown(row):
        if not row["score"]:
            return "–"
        return f"{100 * float(row['score']):.1f} ± {100 * float(row['stderr']):.1f}"

    ours = [row for row in rows if row["source"] == "ours"]
    from_csv = [[shown(row) for row in ours[i : i + 6]] for i in range(0, len(ours), 6)]
    assert len(from_csv) == 6
    assert from_csv[3] == ["–"] * 6
    md_tables = re.findall(r"(?:^\|.*\n)+", markdown("demo", table), re.MULTILINE)
    md_rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in md_tables[0].splitlines()[2:]]
    assert [row[1:] for row in md_rows] == from_csv
    assert md_rows[5][0] == "RLSD (2 seeds)"
    tex_rows = re.findall(r"^(?!Method).*&.*\\\\$", latex("demo", table), re.MULTILINE)
    tex_cells = [row.removesuffix(r"\\").replace(r"$\pm$", "±").replace("--", "–").split("&") for row in tex_rows]
    assert [[cell.strip() for cell in row[1:]] for row in tex_cells[:6]] == from_csv
    theirs = [row for row in rows if row["source"] == "paper"]
    assert [f"{100 * float(row['score']):.2f}" for row in theirs] == [
        cell.strip() for line in md_tables[1].splitlines()[2:] for cell in line.strip("|").split("|")[1:]
    ]
    assert {row["edition"] for row in ours if row["score"]} == {"mini"}
    assert {row["edition"] for row in theirs} == {"official"}


def test_mini_is_said_in_every_format(tmp_path):
    table = table2(load_suite(write_suite(tmp_path / "demo")))
    assert "MathVision mini" in markdown("demo", table)
    assert "MINI benches" in markdown("demo", table)
    assert latex("demo", table).count("mini") >= len(COLUMNS)
    assert "MINI benches" in latex("demo", table)
    official = write_suite(tmp_path / "official")
    for path in official.glob("*/seed0/eval/*/*/result.json"):
        path.write_text(path.read_text().replace('"mini"', '"official"'))
    assert "mini" not in markdown("x", table2(load_suite(official))).lower().split("the paper's")[0]


def test_latex_escapes_and_closes_what_it_opens(tmp_path):
    suite = write_suite(tmp_path / "a_b")
    write_eval(write_run(suite, "mine", label="50% & {x}_\\y"), 60, CORRECT["grpo"])
    text = latex("a_b", table2(load_suite(suite)))
    assert r"50\% \& \{x\}\_\textbackslash{}y" in text
    assert r"a\_b" in text
    unescaped = re.sub(r"\\[{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2


def test_paper_averages_recompute_to_the_last_digit():
    for method, (*benches, average) in paper.PERCENT.items():
        assert sum(benches) / 5 == pytest.approx(average, abs=0.0051), method


def test_differences_name_only_what_the_methods_do_not_share(tmp_path):
    suite = write_suite(tmp_path / "s")
    assert setting_differences(load_suite(suite)) == []
    path = suite / "opsd/seed0/settings.yaml"
    path.write_text(path.read_text().replace("5.0e-05", "1.0e-05"))
    write_run(suite, "rlsd", 1)
    found = {d.key: d.values for d in setting_differences(load_suite(suite))}
    assert set(found) == {"train.learning_rate", "seed"}
    assert found["train.learning_rate"]["OPSD"] == "1e-05"
    assert found["train.learning_rate"]["GRPO"] == "5e-05"
    assert found["seed"]["RLSD"] == "0, 1"
    assert found["seed"]["OPSD"] == "0"
    parameters = method_parameters(load_suite(suite))
    assert parameters["RLSD"] == {"lambda_steps": "50"}
    assert parameters["GRPO"] == {}
    assert "Base" not in parameters
