from pathlib import Path

import pyarrow
import pytest

from eval.core.files import write_json
from eval.core.tables import write_parquet
from runners.probe.run import prices
from runners.run.run_dir import RunDir

NAMES = ("a", "a", "b", "b")


def evaluation(folder: Path, correct: list[bool | None], found: list[int]) -> None:
    (folder / "mmmu").mkdir(parents=True)
    table = pyarrow.table({"id": list(NAMES), "correct": correct})
    write_parquet(folder / "mmmu" / "samples.parquet", table)
    write_json(folder / "mmmu" / "result.json", {"leakage": {"mention": {"found": found, "n": 4, "phrases": {}}}})
    write_json(folder / "leakage.json", {})


def test_a_price_is_paid_against_the_base_of_the_suite(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "opsd" / "seed0")
    evaluation(run.path / "eval" / "40", [False, True, False, True], [0, 2])
    assert prices(run, run.path / "eval" / "40") == {}, "nobody to compare with"
    evaluation(tmp_path / "base" / "seed0" / "eval" / "0", [True, True, False, True], [])
    found = prices(run, run.path / "eval" / "40")
    assert list(found) == ["mention"]
    # Leaking replies (the first of each item) are wrong, clean ones right; both kinds stand on both items.
    assert found["mention"]["plain"]["value"] == -1
    assert found["mention"]["base"]["value"] == pytest.approx(0)
    assert found["mention"]["paired"]["value"] == pytest.approx(-1)
