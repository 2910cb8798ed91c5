"""The hub's sets as `datasets` hands them over (real tables and real exceptions, no network)."""

import errno
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import httpx
import pytest
from datasets import Dataset, Features, List, Value
from datasets import Image as ImageFeature
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError
from PIL import Image

from eval.benches import BENCHES
from eval.benches.mmmu import SUBJECTS
from eval.core.errors import UserError
from eval.core.images import Picture
from eval.data.load import load, load_text
from eval.data.sources import fingerprint

Row = dict[str, Any]
TEXT = Value("string")
LOAD = datasets.load_dataset


def drawn(width: int = 8, height: int = 6, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (width, height), "red")


# fmt: off
MMMU = Features({
    **dict.fromkeys(("id", "question", "options", "explanation"), TEXT),
    **{f"image_{n}": ImageFeature() for n in range(1, 8)},
    **dict.fromkeys(("img_type", "answer", "topic_difficulty", "question_type", "subfield"), TEXT),
})
MATHVISTA = Features({
    "pid": TEXT, "question": TEXT, "image": TEXT, "decoded_image": ImageFeature(), "choices": List(TEXT), "unit": TEXT,
    "precision": Value("float64"), "answer": TEXT, "question_type": TEXT, "answer_type": TEXT,
    "metadata": {"split": TEXT, "img_width": Value("int64"), "task": TEXT, "skills": List(TEXT)}, "query": TEXT,
})
MATHVISION = Features({
    "id": TEXT, "question": TEXT, "options": List(TEXT), "image": TEXT, "decoded_image": ImageFeature(),
    "answer": TEXT, "solution": TEXT, "level": Value("int64"), "subject": TEXT,
})
ZEROBENCH = Features({
    "question_id": TEXT, "question_text": TEXT, "question_images_decoded": List(ImageFeature()),
    "question_answer": TEXT, "question_images": List(TEXT), "image_attribution": TEXT,
})
WEMATH = Features({
    **dict.fromkeys(("ID", "split", "knowledge concept", "question", "option", "answer"), TEXT),
    "image_path": ImageFeature(), "key": TEXT, "question number": Value("int64"), "knowledge concept description": TEXT,
})


def filled(features: Features, **known: Any) -> Row:
    return {**dict.fromkeys(features), **known}


MATHVISTA_ROW = filled(
    MATHVISTA, pid="7", question="How many?", image="images/7.jpg", decoded_image=drawn(), answer="1.2",
    question_type="free_form", answer_type="float", precision=1.0, query="Hint: one decimal place.\nQuestion: …",
    metadata={"split": "testmini", "img_width": 8, "task": "math word problem", "skills": ["arithmetic reasoning"]},
)
TABLES: dict[str, Callable[[str | None], tuple[list[Row], Features]]] = {
    "mmmu": lambda config: ([filled(
        MMMU, id=f"validation_{config}_1", question="Is <image 1> or <image 2> red?", answer="A",
        options="['<image 2>', 'neither']", question_type="multiple-choice", image_1=drawn(),
        image_2=drawn(4, 4, "RGBA"),
    )], MMMU),
    "mathvista": lambda _: ([MATHVISTA_ROW], MATHVISTA),
    "mathvision": lambda _: ([filled(
        MATHVISION, id="9", question="Which?\n<image1>\n<image2>", options=list("ABCDE"), image="images/9.jpg",
        decoded_image=drawn(), answer="B", level=2, subject="logic",
    )], MATHVISION),
    "zerobench": lambda _: ([filled(
        ZEROBENCH, question_id=name, question_text="How many?", question_answer="3",
        question_images_decoded=[drawn(), drawn(5, 5, "P"), drawn(3, 9)], question_images=["a.png", "b.png", "c.png"],
    ) for name in ("1_1", "1_2")], ZEROBENCH),
    "wemath": lambda _: ([filled(
        WEMATH, ID="2steps_1", question="?", option="A. 1;B. 2", answer="A", image_path=drawn(mode="RGBA"), key=key,
    ) for key in ("2steps_1", "2steps_2", "2steps_multi")], WEMATH),
}
# fmt: on
# What the sets are called, which split the benches are (both from their data cards); and of the tables above: rows,
# pictures of a row, the first row's id.
HUB = {
    "mmmu": ("MMMU/MMMU", "validation", 30, 3, "validation_Accounting_1"),
    "mathvista": ("AI4Math/MathVista", "testmini", 1, 1, "7"),
    "mathvision": ("MathLLMs/MathVision", "test", 1, 1, "9"),
    "zerobench": ("jonathan-roberts1/zerobench", "zerobench_subquestions", 2, 3, "1_1"),
    "wemath": ("We-Math/We-Math", "testmini", 3, 1, "2steps_1/2steps_1"),
}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Serves one bench's table in place of the hub; returns the list of what is asked for."""

    def start(bench: str, change: Callable[[list[Row], Features], Dataset] | None = None) -> list[Any]:
        asked = []

        def load_dataset(path: str, name: str | None, split: str) -> Dataset:
            asked.append((path, name, split))
            rows, features = TABLES[bench](name)
            return change(rows, features) if change else Dataset.from_list(rows, features=features)

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return asked

    return start


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What loading a bench says when the hub's loader raises."""

    def says(bench: str, load_dataset: Callable[..., Any]) -> str:
        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        with pytest.raises(UserError, match=r"^[^\n]+$") as error:
            load(bench, "hub")
        return str(error.value)

    return says


def raising(error: Exception, cause: Exception | None = None) -> Callable[..., Any]:
    def load_dataset(*_: Any, **__: Any) -> Any:
        raise error from cause

    return load_dataset


@pytest.mark.parametrize("bench", HUB)
def test_the_hubs_columns_become_rows_with_encoded_pictures(serve: Callable[..., list[Any]], bench: str) -> None:
    name, split, n, pictures, _ = HUB[bench]
    asked = serve(bench)
    rows = load(bench, "hub").rows
    assert asked == [(name, config, split) for config in (SUBJECTS if bench == "mmmu" else (None,))]
    assert len(rows) == n
    for row in rows:
        shown = BENCHES[bench].shown(row)
        assert all(isinstance(p, Picture) and isinstance(p.source, bytes) for p in shown)  # none is held decoded
        assert BENCHES[bench].prompt(row).count("<image>") == len(shown) == pictures
        assert shown[0].open().size == (8, 6)
        assert shown[0].open().mode == "RGB"


@pytest.mark.parametrize("bench", HUB)
def test_grading_takes_the_hubs_rows_without_their_pictures(serve: Callable[..., list[Any]], bench: str) -> None:
    def without_a_readable_picture(rows: list[Row], features: Features) -> Dataset:
        table = Dataset.from_list(rows, features=features)
        for column, kind in features.items():
            if isinstance(kind, ImageFeature):
                broken = [{"bytes": b"no picture", "path": None}] * len(rows)
                table = table.remove_columns(column).add_column(column, broken, feature=ImageFeature())
        return table

    serve(bench, without_a_readable_picture)
    rows = load_text(bench, "hub")
    assert len(rows) == HUB[bench][2]
    assert BENCHES[bench].row_id(rows[0]) == HUB[bench][4]
    assert not any(isinstance(cell, bytes | dict) and "bytes" in cell for row in rows for cell in row.values())


def test_a_split_with_hidden_answers_is_loaded_but_has_nothing_to_grade(serve: Callable[..., list[Any]]) -> None:
    def hidden(rows: list[Row], features: Features) -> Dataset:
        return Dataset.from_list([{**row, "answer": "", "choices": None} for row in rows], features=features)

    asked = serve("mathvista", hidden)
    assert [row["answer"] for row in load("mathvista", "hub", split="test").rows] == [None]
    assert asked == [("AI4Math/MathVista", None, "test")]
    with pytest.raises(UserError, match="AI4Math/MathVista testmini row 1: has no answer"):
        load("mathvista", "hub")
    assert fingerprint("mmmu", "hub", "test") != fingerprint("mmmu", "hub") == "hub"


def test_a_lost_column_and_a_doubled_row_are_named(serve: Callable[..., list[Any]]) -> None:
    serve("mathvision", lambda rows, features: Dataset.from_list(rows, features=features).remove_columns("level"))
    with pytest.raises(UserError, match=r"^mathvision: MathLLMs/MathVision has no column level \(it has id, [^\n]+$"):
        load("mathvision", "hub")
    serve("zerobench", lambda rows, features: Dataset.from_list([rows[0]] * 2, features=features))
    with pytest.raises(UserError, match=r"zerobench zerobench_subquestions row 2: its id 1_1 occurs twice"):
        load("zerobench", "hub")


def gated(status: int, also: str) -> Callable[..., Any]:
    """As `datasets` raises it, from what the hub answers."""
    request = httpx.Request("HEAD", "https://huggingface.co/datasets/jonathan-roberts1/zerobench")
    cause = GatedRepoError("Access is restricted", response=httpx.Response(status, request=request))
    said = f"Dataset 'jonathan-roberts1/zerobench' is a gated dataset on the Hub. {also}"
    return raising(DatasetNotFoundError(said), cause)


@pytest.mark.parametrize(
    ("answer", "mend"),
    [
        (
            gated(401, "You must be authenticated to access it."),
            ("gated", "ask for access on https://", "hf auth login"),
        ),
        (gated(403, "Visit the dataset page to ask for access."), ("gated", "jonathan-roberts1/zerobench, log in")),
        (
            raising(DatasetNotFoundError("Dataset 'a/b' doesn't exist on the Hub or cannot be accessed.")),
            ("not found on the hub", "--data <local"),
        ),
        (
            raising(
                ConnectionError("Couldn't reach 'a/b' on the Hub (LocalEntryNotFoundError)"),
                LocalEntryNotFoundError("no route\nsecond line"),
            ),
            ("cannot be reached", "check the network", "--data mini"),
        ),
        (raising(httpx.ReadTimeout("timed out")), ("cannot be reached", "check the network")),
        (
            raising(
                DatasetGenerationError("An error occurred while generating the dataset"),
                OSError(errno.ENOSPC, "No space left on device"),
            ),
            ("disk of the hub's cache is full", "HF_HOME"),
        ),
        (raising(OSError("Not enough disk space. Needed: 2.1 GiB")), ("cache is full", "2.1 GiB", "make room")),
        (raising(RuntimeError()), ("cannot be loaded (RuntimeError)", "--data mini")),
    ],
)
def test_what_goes_wrong_at_the_hub_is_one_line_with_its_mend(
    fails: Callable[..., str], answer: Callable[..., Any], mend: tuple[str, ...]
) -> None:
    message = fails("zerobench", answer)
    assert message.startswith("zerobench: jonathan-roberts1/zerobench: ")
    assert [part for part in mend if part not in message] == []


def test_offline_mode_is_named_by_the_real_loader() -> None:
    with pytest.raises(UserError, match=r"^mathvista: AI4Math/MathVista: not in the cache, and HF_HUB_OFFLINE[^\n]+$"):
        load("mathvista", "hub")


def test_the_real_loader_names_splits_and_configs_that_exist(fails: Callable[..., str], tmp_path: Path) -> None:
    place = tmp_path / "set"
    place.mkdir()
    Dataset.from_list([MATHVISTA_ROW], features=MATHVISTA).to_parquet(place / "mini.parquet")
    card = "---\nconfigs:\n- config_name: whole\n  data_files:\n  - split: testmini_v2\n    path: mini.parquet\n---\n"
    (place / "README.md").write_text(card)
    cache = str(tmp_path / "cache")
    message = fails("mathvista", lambda _, name, split: LOAD(str(place), name, split=split, cache_dir=cache))
    assert "testmini_v2" in message
    assert "Ask for one" in message
    message = fails("mmmu", lambda _, name, split: LOAD(str(place), name, split=split, cache_dir=cache))
    assert "mmmu: MMMU/MMMU Accounting: the set's parts have changed" in message
    assert "whole" in message


def test_a_picture_that_is_no_picture_names_its_row(serve: Callable[..., list[Any]]) -> None:
    buffer = io.BytesIO()
    drawn().save(buffer, "PNG")
    cut = {"bytes": buffer.getvalue()[:-25], "path": None}
    serve("mathvista", lambda rows, features: Dataset.from_list([{**rows[0], "decoded_image": cut}], features=features))
    with pytest.raises(
        UserError, match=r"^AI4Math/MathVista testmini row 1: has a picture that cannot be used [^\n]+$"
    ):
        load("mathvista", "hub")
