"""Leakage that only a model shows: probes of a checkpoint, beside the detectors that read replies (eval/leakage)."""

from collections.abc import Callable
from typing import Any, NamedTuple

from runners.probe.picture import no_picture
from runners.probe.planted import canary, wrong_reference
from runners.probe.subject import Subject
from runners.probe.told import told_gap
from runners.probe.training import copied


class Probe(NamedTuple):
    """`measure` gives numbers by name, `value` first: the one that says leak or no leak, in `unit`."""

    name: str
    label: str
    unit: str
    meaning: str
    measure: Callable[[Subject], dict[str, Any]]


PROBES = {
    probe.name: probe
    for probe in (
        Probe(
            "told_gap",
            "Told-untold gap",
            "accuracy",
            "Accuracy of replies to a prompt with the right answer in it, minus that to the plain prompt. What is left "
            "to leak; 0 says that telling changes nothing any more, or never did.",
            told_gap,
        ),
        Probe(
            "no_picture",
            "No-picture control",
            "accuracy",
            "Accuracy with the own picture minus that with another item's. Near 0: the model does not look.",
            no_picture,
        ),
        Probe(
            "canary",
            "Canary exposure",
            "bits",
            "How far up its list of codes the untold student has the random code that its teacher was told, beyond "
            "codes that nobody was told. Needs data.canaries.",
            canary,
        ),
        Probe(
            "wrong_reference",
            "Wrong reference",
            "share of replies",
            "How much more often the untold student gives the wrong answer that its teacher was told than another one. "
            "Needs data.wrong_references.",
            wrong_reference,
        ),
        Probe(
            "copied_training",
            "Copied solution",
            "share of 4-grams",
            "How much more of its teacher's solution a right untold reply holds than of other items'. Compare with the "
            "base's. Needs training data with solutions.",
            copied,
        ),
    )
}
