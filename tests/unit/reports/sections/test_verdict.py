"""The verdict's sentences: what they claim, and what they may not."""

import json
import shutil

import jinja2

from reports.sections import SECTIONS
from reports.sections.verdict import verdict
from reports.suite.read import load_suite
from tests.support.report_suite import CORRECT, write_eval, write_run

NONE = (5, 5, 4, 1, 2)


def told(folder):
    """Each part of the verdict as one text."""
    found = verdict(load_suite(folder))
    parts = (found.scores, found.leakage, found.limits)
    return ["\n".join(sentence.lead + sentence.text for sentence in part) for part in parts]


def trained(folder, method, correct, seed=0, **record):
    write_eval(write_run(folder, method, seed, **record), 60, correct)


def test_six_rows(suite):
    scores, leakage, limits = told(suite)
    # GRPO has 36, 40, 25, 6, 18 right and RLSD 39, 44, 30, 7, 18: 4.75 points (shown as 4.7), all of them RLSD's.
    assert scores.startswith(
        "RLSD beats all 4 other methods on the average of the 5 benches, with 52.2 %; the closest, GRPO"
    )
    assert "is behind by 4.7 points (95 % interval " in scores
    assert "In order of score on the average of the 5 benches: RLSD 52.2 %, GRPO 47.5 %, " in scores
    assert "of the 15 pairs of rows differ" in scores
    assert "over the base on the average of the 5 benches, where Base has 35.0 %" in scores
    assert "RLSD +17.2 (" in scores
    assert "below it, OPSD −3.6 (" in scores
    assert leakage.startswith("OPSD leaks: 9.3 % (95 % interval 6.6 to 13.0) of its replies mention a reference")
    assert "9.3 points more than Base's (95 % interval " in leakage
    assert "None of the other 4 leaks measurably more than Base" in leakage
    assert "RLSD 0.0 % (none of 322: at most 0.9 %)" in leakage  # 1 - .05 ** (1 / 322)
    assert "One seed: these differences are of these checkpoints, not of the methods." in limits
    assert "Mini benches" in limits
    assert "a typical pair of rows has to differ by about" in limits


def test_no_claim_where_the_test_allows_none(tmp_path):
    trained(tmp_path / "s", "grpo", CORRECT["grpo"])
    trained(tmp_path / "s", "rlsd", tuple(n + 1 for n in CORRECT["grpo"][:1]) + CORRECT["grpo"][1:])
    scores, _, _ = told(tmp_path / "s")
    assert scores.startswith(
        "RLSD and GRPO cannot be told apart on the average of the 5 benches (difference +0.3 points, "
    )
    assert "beats" not in scores
    assert "base" not in scores.lower()


def test_two_alike_lead_a_third(tmp_path):
    trained(tmp_path / "s", "grpo", CORRECT["grpo"])
    trained(tmp_path / "s", "sdpo", CORRECT["grpo"])
    trained(tmp_path / "s", "opsd", NONE)
    scores, _, _ = told(tmp_path / "s")
    assert scores.startswith(
        "No single method is best on the average of the 5 benches: GRPO scores highest, 47.5 %, but"
    )
    assert "cannot be told apart from SDPO (difference 0.0 points, corrected p = 1.000)" in scores
    assert "It beats OPSD by 41.1 points (95 % interval " in scores
    assert "2 of the 3 pairs of rows differ" in scores


def test_the_paper_s_question_is_answered_whoever_leads(tmp_path):
    for method, right in (("grpo", CORRECT["grpo"]), ("rlsd", CORRECT["grpo"]), ("mine", CORRECT["rlsd"])):
        trained(tmp_path / "s", method, right)
    scores, _, _ = told(tmp_path / "s")
    assert "GRPO and RLSD cannot be told apart on the average of the 5 benches (difference 0.0 points, " in scores
    assert " beats all 2 other methods on the average of the 5 benches, with 52.2 %" in scores.splitlines()[0]


def test_one_checkpoint_leads_no_methods_of_several_seeds(tmp_path):
    for seed in (0, 1):
        for method, right in (("grpo", CORRECT["opsd"]), ("opsd", NONE)):
            write_eval(write_run(tmp_path / "s", method, seed), 60, right)
    trained(tmp_path / "s", "rlsd", CORRECT["rlsd"])
    scores, _, _ = told(tmp_path / "s")
    assert scores.startswith("GRPO beats OPSD on the average of the 5 benches: by ")
    assert "Not ranked on the average of the 5 benches: RLSD (52.2 %), of which one checkpoint was trained." in scores
    assert "In order of score on the average of the 5 benches: RLSD 52.2 %, GRPO " in scores


def test_further_signs_of_leakage_are_a_sentence_each(tmp_path):
    """Who shows one, and nobody; `leaks` is said of what the first detector finds."""
    for method, leaking in (("base", 0), ("grpo", 0), ("opsd", 30)):
        write_eval(write_run(tmp_path / "s", method), 60, CORRECT["grpo"], leaks=leaking)
        for path in (tmp_path / "s" / method).rglob("result.json"):
            result = json.loads(path.read_text())
            result["leakage"] |= {"early": result["leakage"]["mention"], "copied": {"found": []}}
            path.write_text(json.dumps(result))
        for path in (tmp_path / "s" / method).rglob("leakage.json"):
            found = json.loads(path.read_text())
            for name, label in (("early", "say it at once"), ("copied", "repeat it")):
                found[name] = found["mention"] | {"label": label}
            path.write_text(json.dumps(found))
    leakage = told(tmp_path / "s")[1].splitlines()
    assert len(leakage) == 4 and leakage[0].startswith("OPSD leaks: ")
    assert leakage[2].startswith("Replies that say it at once: OPSD 9.3 % (95 % interval 6.6 to 13.0); ")
    assert leakage[2].endswith(" The other 1 not measurably more than Base, 0.0 % (none of 322: at most 0.9 %).")
    assert leakage[3] == "In no method's replies measurably more than in Base's: replies that repeat it."


def test_a_method_that_leaks_in_some_trainings_leaks(tmp_path):
    """Over training again 20 % of one of three seeds are no more than none; of that seed they are."""
    write_eval(write_run(tmp_path / "s", "base"), 0, CORRECT["base"])
    for seed, leaking in ((0, 0), (1, 60), (2, 0)):
        write_eval(write_run(tmp_path / "s", "grpo", seed), 60, CORRECT["grpo"])
        write_eval(write_run(tmp_path / "s", "rlsd", seed), 60, CORRECT["grpo"], leaks=leaking)
    first, second = told(tmp_path / "s")[1].splitlines()
    assert first.startswith("RLSD leaks in 1 of 3 trainings: 18.6 % of their replies mention a reference")
    assert ", more than Base's; over all trainings 6.2 % (95 % interval " in first
    assert second.startswith("The other method does not leak measurably more than Base, of whose replies 0.0 %")


def test_two_rows_and_the_base(tmp_path):
    trained(tmp_path / "s", "rlsd", CORRECT["rlsd"])
    write_eval(write_run(tmp_path / "s", "base"), 0, NONE)
    scores, _, _ = told(tmp_path / "s")
    assert scores.startswith("RLSD scores over the base on the average of the 5 benches, where Base has ")
    assert "In points over the base, with 95 % interval and corrected p: RLSD +" in scores
    assert "beats" not in scores


def test_one_row(tmp_path):
    write_eval(write_run(tmp_path / "s", "base"), 0, CORRECT["base"])
    scores, leakage, limits = told(tmp_path / "s")
    assert scores == "Only Base has scores, 35.0 % on the average of the 5 benches: nothing to compare with."
    assert "Base 0.0 % (none of 322: at most 0.9 %)" in leakage
    assert "seed" not in limits
    trained(tmp_path / "t", "rlsd", CORRECT["rlsd"])
    assert told(tmp_path / "t")[0].startswith("Only RLSD has scores, 52.2 %")


def test_nothing_evaluated(tmp_path):
    write_run(tmp_path / "s", "grpo")
    assert told(tmp_path / "s") == ["Nothing to compare yet: no run has been evaluated (cli.py eval).", "", ""]


def test_several_seeds(tmp_path):
    for method in ("grpo", "rlsd"):
        for seed in (0, 1):
            trained(tmp_path / "s", method, CORRECT[method], seed)
    assert "2 seeds a method: intervals cover training again" in told(tmp_path / "s")[2]
    shutil.rmtree(tmp_path / "s/rlsd/seed1")
    assert "Seeds are uneven (GRPO 2, RLSD 1): where a method has one" in told(tmp_path / "s")[2]


def test_missing_replies_are_one_sentence(tmp_path):
    for method in ("grpo", "rlsd"):
        trained(tmp_path / "s", method, CORRECT[method])
    for path in (tmp_path / "s").glob("*/seed0/eval/60/*/samples.parquet"):
        path.unlink()
    scores, leakage, limits = told(tmp_path / "s")
    assert scores == "Nothing can be compared: no evaluation has scores with their replies one by one."
    assert leakage == ""
    assert "Not compared: MMMU is not compared for grpo/seed0, rlsd/seed0: samples.parquet" in limits
    assert "Leakage cannot be tested of GRPO, RLSD (mention): samples.parquet is missing or broken." in limits


def test_a_part_of_the_benches_speaks_for_itself(tmp_path):
    for method in ("grpo", "rlsd"):
        trained(tmp_path / "s", method, CORRECT[method] if method == "rlsd" else NONE)
    for path in (tmp_path / "s").glob("*/seed0/eval/60/*/result.json"):
        path.write_text(path.read_text().replace('"mini"', '"official"'))
        if path.parent.name != "mmmu":
            shutil.rmtree(path.parent)
    (tmp_path / "s/rlsd/seed0/eval/60/leakage.json").unlink()
    scores, _, limits = told(tmp_path / "s")
    assert scores.startswith("RLSD beats GRPO on MMMU 60 of 900: by 56.7 points (95 % interval ")
    assert "average" not in scores
    assert "No average: evaluated were MMMU 60 of 900, and not MathVista, " in limits
    assert "Leakage is unknown of RLSD: no leakage result." in limits
    assert "Mini" not in limits


def test_unfinished_and_unevaluated_runs_are_named(tmp_path):
    trained(tmp_path / "s", "grpo", CORRECT["grpo"])
    write_eval(write_run(tmp_path / "s", "rlsd", status="running", steps_done=20), 20, CORRECT["rlsd"])
    write_run(tmp_path / "s", "opsd")
    limits = told(tmp_path / "s")[2]
    assert "RLSD has not finished: its row stands on step 20 of 60" in limits
    assert "Not evaluated, and so not compared: OPSD." in limits


def test_labels_are_text(tmp_path):
    trained(tmp_path / "s", "mine", CORRECT["rlsd"], label="<script>alert(1)</script> \\input{x}")
    trained(tmp_path / "s", "grpo", NONE)
    data = SECTIONS["verdict"].compute(load_suite(tmp_path / "s"))
    html = jinja2.Environment(autoescape=True).from_string(SECTIONS["verdict"].html).render(data=data)
    assert "<script" not in html
    assert "<strong>&lt;script&gt;alert(1)&lt;/script&gt; \\input{x} beats GRPO</strong>" in html


def test_numbers_stand_behind_the_sentences(suite):
    data = SECTIONS["verdict"].compute(load_suite(suite))
    numbers = SECTIONS["verdict"].json(data)["verdict"]
    assert numbers["scores"][0].startswith("RLSD beats")
    assert numbers["leaks"]["mention"]["rows"]["opsd"]["rate"]["mean"] == 30 / 322
    assert set(numbers["smallest_visible"]) == {"average"}
