"""Probes and token credit of a real run, and a code that a real model has learned by heart."""

import json
from itertools import islice
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from PIL import Image

from runners.credit.run import localise, methods_of, show
from runners.data.treatment import coded
from runners.forward.logprobs import expose_hidden_states, student_scores
from runners.probe.planted import exposure
from runners.probe.run import probe
from runners.probe.scored import reply_ids, rows_of
from runners.probe.subject import Subject, every_item
from runners.run.model import load
from runners.run.run_dir import RunDir
from runners.theory.measured import measure
from tests.support.helpers import history_of, small

PLANTED = ("data.canaries=0.4", "data.wrong_references=0.4")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """One step of OPSD whose teachers are told codes and wrong answers."""
    folder = tmp_path_factory.mktemp("suite") / "opsd" / "seed0"
    shape = ("train.steps=1", "train.prompts=6", "train.generations=4", "train.checkpoint_every=1")
    history_of(folder, small("opsd", *shape, "train.max_completion_tokens=48", *PLANTED), saved=True)
    return RunDir(folder)


def test_what_is_planted_is_told_and_not_graded(run: RunDir) -> None:
    (file,) = (run.path / "completions").glob("*.parquet")
    told = pd.read_parquet(file).drop_duplicates("id")
    coded_B = told["told"].str.contains(r"\(code \d{3}\)")
    wrong_B = ~coded_B & (told["told"] != told["answer"])
    assert coded_B.any()
    assert wrong_B.any()
    assert not told["answer"].str.contains("code").any()


def test_a_run_is_probed_and_what_is_there_stays(run: RunDir) -> None:
    path = probe(run, ("told_gap", "no_picture"), 2, 2)
    first = json.loads(path.read_text())
    assert path == run.path / "eval" / "1" / "probes.json"
    assert probe(run, ("wrong_reference", "copied_training"), 2, 2) == path
    found = json.loads(path.read_text())
    assert {name: found[name] for name in first} == first
    assert {*found} == {"told_gap", "no_picture", "wrong_reference", "copied_training"}
    assert found["told_gap"]["value"]["n"] == 4
    assert 0 <= found["told_gap"]["accuracy_right"]["value"] <= 1
    assert found["wrong_reference"]["label"]


def test_credit_of_an_item_is_shown(run: RunDir) -> None:
    (file,) = (run.path / "completions").glob("*.parquet")
    rollouts = pd.read_parquet(file)
    item = rollouts["id"].iloc[0]
    folder = show(run, methods_of(run, None) | methods_of(run, "rlsd"), item, 1, None)
    table = pd.read_parquet(folder / "rlsd.parquet")
    texts = table.groupby("rollout")["token"].sum().str.removesuffix("<|im_end|>").tolist()
    assert texts == rollouts[rollouts["id"] == item]["reply"].tolist()
    with Image.open(folder / "heat.png") as image:
        assert image.width > 100
    own = show(run, methods_of(run, "rlsd"), item, 0, "So \\boxed{<b>}")
    page = (own / "heat.html").read_text()
    assert "&lt;" in page
    assert "<b>" not in page
    assert pd.read_parquet(own / "rlsd.parquet")["advantage"].lt(0).all(), "a wrong reply is blamed"


def test_slips_are_looked_for_in_the_credit(run: RunDir) -> None:
    found = localise([run], methods_of(run, "grpo,rlsd"), 0, 2)
    assert found["grpo"]["auc"]["value"] in (0.5, None)
    assert found["grpo"]["share"]["value"] == pytest.approx(found["grpo"]["base"]["value"])
    assert {"auc_wrong_reference", "auc_unclipped", "auc_permuted", "share_unclipped", "kept"} <= {*found["rlsd"]}
    assert {*json.loads((run.path / "credit" / "localisation.json").read_text())} == {"0"}


def test_a_code_that_a_model_has_learned_is_exposed(run: RunDir) -> None:
    """Two items' codes are trained into the base's own replies; two other items' are not."""
    settings = run.settings()
    model, processor = load(settings.model)
    expose_hidden_states(model)
    items = list(islice(every_item(settings), 4))
    batches = [
        rows_of(processor, one.prompt(), [reply_ids(processor, coded(one.answer, one.treatment.code))])
        for one in items[:2]
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(10):
        loss = -torch.stack([student_scores(model, rows, 1.0).logp_BT.sum() for rows in batches]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    subject = Subject(SimpleNamespace(model=model.eval(), processor=processor), [], [], 1)
    learned, fresh = [exposure(subject, one) for one in items[:2]], [exposure(subject, one) for one in items[2:]]
    assert min(learned) > 6, (learned, fresh)
    assert max(fresh) < 6, (learned, fresh)


def test_the_gap_of_a_run_is_measured(run: RunDir) -> None:
    lines = list(measure(run, 1))
    found = json.loads((run.path / "theory" / "gap.json").read_text())
    assert [line.split(",")[0] for line in lines[:2]] == ["step 0", "step 1"]
    for step in ("0", "1"):
        told, marginal, information = (found[step][name]["value"] for name in ("opsd", "marginal", "information"))
        assert told == pytest.approx(marginal + information, abs=1e-9)
        assert found[step]["apart"]["value"] == pytest.approx(found[step]["sampled"]["value"] - told, abs=1e-9)
        assert information >= -1e-12
    assert (run.path / "theory" / "gap.png").stat().st_size > 1000
