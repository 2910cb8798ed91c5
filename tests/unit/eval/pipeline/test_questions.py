"""What was asked, kept for a reader: every question, the first pictures, small."""

import io

import pandas as pd
from PIL import Image

from eval.benches import BENCHES
from eval.data.load import load
from eval.pipeline import questions


def test_questions_golds_and_small_pictures(tmp_path):
    rows = load("mathvista", "mini").rows
    questions.write(tmp_path, "mathvista", rows)
    found = pd.read_parquet(tmp_path / "questions.parquet")
    assert list(found["id"]) == [BENCHES["mathvista"].row_id(row) for row in rows]
    assert found["question"][0] == BENCHES["mathvista"].prompt(rows[0])
    assert found["gold"][0] == BENCHES["mathvista"].gold(rows[0])
    assert found["picture"].notna().sum() == questions.PICTURED
    picture = Image.open(io.BytesIO(found["picture"][0]))
    assert picture.format == "JPEG"
    assert max(picture.size) <= questions.SIDE


def test_a_hidden_answer_is_no_gold(tmp_path):
    row = load("mathvista", "mini").rows[0] | {"answer": None, "image": None, "decoded_image": None}
    questions.write(tmp_path, "mathvista", [row])
    found = pd.read_parquet(tmp_path / "questions.parquet").iloc[0]
    assert pd.isna(found["gold"])
    assert pd.isna(found["picture"])
