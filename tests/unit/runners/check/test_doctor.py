"""The doctor: every check says what it found, and a fault does not hide the others."""

import pytest

from eval.core.errors import UserError
from runners.check import doctor


def test_this_machine_is_fit_for_the_demo():
    found = {name: (fault, said) for name, fault, said in doctor.checks("cpu")}
    assert list(found) == list(doctor.CHECKS)
    assert found["model"] == (False, "embedded: qwen3_vl")
    assert found["untold"][1].startswith("teacher minus student is 0")
    assert not any(fault for fault, _ in found.values())


def test_a_fault_names_its_mend_and_the_rest_is_asked(monkeypatch: pytest.MonkeyPatch):
    def full(_: object) -> str:
        raise UserError("1.0 GiB free here: free some")

    def broken(_: object) -> str:
        raise RuntimeError("boom\nand more")

    monkeypatch.setattr(doctor, "CHECKS", {"disk": full, "odd": broken, "fine": lambda _: "yes"})
    assert list(doctor.checks("cpu")) == [
        ("disk", True, "1.0 GiB free here: free some"),
        ("odd", True, "RuntimeError: boom"),
        ("fine", False, "yes"),
    ]
