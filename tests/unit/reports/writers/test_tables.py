"""Tables as markdown, LaTeX and CSV: the same numbers, escaped."""

import csv
import io
import re
import shutil

from reports.sections import SECTIONS
from reports.suite.read import load_suite
from reports.writers.tables import latex, markdown, tidy_csv
from tests.support.report_suite import CORRECT, write_eval, write_run, write_suite

TABLE2 = SECTIONS["table2"]
CSV_COLUMNS = ("source", "method", "label", "bench", "edition", "n", "seeds", "score", "stderr")


def tables(suite):
    return TABLE2.tables(TABLE2.compute(load_suite(suite)))


def test_csv_markdown_and_latex_agree(tmp_path):
    suite = write_suite(tmp_path / "demo")
    write_eval(write_run(suite, "rlsd", 1), 60, (42, 40, 31, 9, 15))
    shutil.rmtree(suite / "sdpo/seed0/eval")
    shown = tables(suite)
    rows = list(csv.DictReader(io.StringIO(tidy_csv(TABLE2, shown))))
    assert tuple(rows[0]) == CSV_COLUMNS

    def cell(row):
        if not row["score"]:
            return "–"
        return f"{100 * float(row['score']):.1f} ± {100 * float(row['stderr']):.1f}"

    ours = [row for row in rows if row["source"] == "ours"]
    from_csv = [[cell(row) for row in ours[i : i + 6]] for i in range(0, len(ours), 6)]
    assert len(from_csv) == 6
    assert from_csv[3] == ["–"] * 6
    md_tables = re.findall(r"(?:^\|.*\n)+", markdown(TABLE2, shown), re.MULTILINE)
    md_rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in md_tables[0].splitlines()[2:]]
    assert [[cell.strip("*") for cell in row[1:]] for row in md_rows] == from_csv
    assert md_rows[5][0] == "RLSD (2 seeds)"
    tex_rows = re.findall(r"^(?!Method).*&.*\\\\$", latex(TABLE2, shown), re.MULTILINE)
    tex_cells = [row.removesuffix(r"\\").replace(r"$\pm$", "±").replace("--", "–").split("&") for row in tex_rows]
    plain = [[re.sub(r"\\textbf\{\\boldmath (.*)\}", r"\1", cell.strip()) for cell in row[1:]] for row in tex_cells[:6]]
    assert plain == from_csv
    theirs = [row for row in rows if row["source"] == "paper"]
    assert [f"{100 * float(row['score']):.2f}" for row in theirs] == [
        cell.strip() for line in md_tables[1].splitlines()[2:] for cell in line.strip("|").split("|")[1:]
    ]
    assert {row["edition"] for row in ours if row["score"]} == {"mini"}
    assert {row["edition"] for row in theirs} == {"official"}


def test_mini_is_said_in_every_format(suite, tmp_path):
    shown = tables(suite)
    assert "MathVision mini" in markdown(TABLE2, shown)
    assert "MINI benches" in markdown(TABLE2, shown)
    assert latex(TABLE2, shown).count("mini") >= 6
    assert "MINI benches" in latex(TABLE2, shown)
    official = write_suite(tmp_path / "official")
    for path in official.glob("*/seed0/eval/*/*/result.json"):
        path.write_text(path.read_text().replace('"mini"', '"official"'))
    assert "mini" not in markdown(TABLE2, tables(official)).lower().split("the paper's")[0]


def test_latex_escapes_and_closes_what_it_opens(tmp_path):
    suite = write_suite(tmp_path / "a_b")
    write_eval(write_run(suite, "mine", label="50% & {x}_\\y"), 60, CORRECT["grpo"])
    text = latex(TABLE2, tables(suite))
    assert r"50\% \& \{x\}\_\textbackslash{}y" in text
    assert r"a\_b" in text
    unescaped = re.sub(r"\\[{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
