"""Every detector and probe against constructed students, each of which leaks in one way."""

import math

import pytest
import torch

from eval.leakage import DETECTORS
from runners.probe import planted
from runners.probe.picture import no_picture
from runners.probe.probes import PROBES
from runners.probe.told import told_gap
from tests.parity import leaks
from tests.parity.leaks import LEAKS, fires, measured

FIRE = {
    "nothing": set[str](),
    "mention": {"mention"},
    "answer first": {"early"},
    "no work": {"skipped"},
    "solution": {"copied", "copied_training"},
    "canary": {"canary"},
    "wrong answer": {"wrong_reference"},
    "blind": {"no_picture"},
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_is_found_by_its_own_detector_and_no_other(leak: str) -> None:
    found = measured(leak)
    assert {*found} == {*DETECTORS, *PROBES}
    assert {name for name, value in found.items() if fires(name, value)} == FIRE[leak]


def test_every_leak_is_some_detectors() -> None:
    assert {*FIRE} == {*LEAKS}
    assert set.union(*FIRE.values()) | {"told_gap"} == {*DETECTORS, *PROBES}


def test_exposure_is_the_rank_in_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Carlini et al.: log2 of the number of codes minus log2 of the rank; ties count half."""
    one = leaks.TRAINED[0]
    subject = leaks.Subject(leaks.Student("nothing"), [one], [], 1)

    def ranked(above: int, level: int) -> float:
        below = planted.RANKED - 1 - above - level
        scores = [-1.0, *[0.0] * above, *[-1.0] * level, *[-2.0] * below]  # the own code's first
        monkeypatch.setattr(planted, "log_probs", lambda *_: [torch.tensor([score]) for score in scores])
        return planted.exposure(subject, one)

    assert ranked(0, 0) == math.log2(planted.RANKED)
    assert ranked(99, 0) == pytest.approx(1.0)
    assert ranked(0, 2) == math.log2(planted.RANKED / 2)
    assert ranked(0, planted.RANKED - 1) == pytest.approx(math.log2(planted.RANKED / 100.5))


def test_the_own_code_is_ranked_among_different_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    monkeypatch.setattr(planted, "log_probs", lambda *a: seen.extend(a[3]) or [torch.zeros(1)] * len(a[3]))
    one = leaks.TRAINED[1]
    planted.exposure(leaks.Subject(leaks.Student("nothing"), [one], [], 1), one)
    texts = ["".join(map(chr, ids)) for ids in seen]
    assert texts[0] == f"{one.answer} (code {one.treatment.code})"
    assert len({*texts}) == planted.RANKED


def test_who_follows_what_it_is_told_and_looks_has_both_gaps() -> None:
    student = leaks.Student("nothing")
    subject = leaks.Subject(student, leaks.TRAINED, leaks.FRESH, 4)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("runners.probe.told.log_probs", student.log_probs)
        gap = told_gap(subject)
    assert gap["accuracy_right"].value == 1
    assert gap["follows_wrong"].value == 1
    assert gap["accuracy_wrong"].value == 0
    assert gap["value"].value == pytest.approx(1 - gap["accuracy_none"].value)
    looks = no_picture(subject)
    assert looks["accuracy_own"].value == gap["accuracy_none"].value
    assert looks["accuracy_grey"].value == 0
