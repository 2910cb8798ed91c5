"""Every family trains, and a row among others has the log-probabilities that it has alone, unpadded, in a fresh copy.

One method a family here; all methods, LoRA and evaluation: `python -m tests.parity.families`, in docs/models.md."""

from collections.abc import Callable
from pathlib import Path

import pytest

from eval.core.errors import UserError
from eval.engines.load import load_engine
from eval.settings import EvalSettings
from methods import SELF_CONTAINED
from runners.run.config import resolve
from runners.run.model import load
from tests.parity.families import ALLOWED, COUNTS, LORA, answered, trained
from tests.support.families import TEXTS, VLMS, build

pytestmark = pytest.mark.slow
REFUSED = "paligemma"
SEEING = [name for name in VLMS if name != REFUSED]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = build(name, tmp_path_factory.mktemp(name))
        return made[name]

    return of


def _holds(found: dict[str, float], *counts: str) -> None:
    assert {name for name in COUNTS if name in found} == set(counts)
    assert max(found[name] for name in (*counts, "update")) <= ALLOWED
    assert found["norm"] > 0


@pytest.mark.parametrize(
    ("name", "method"), [(n, SELF_CONTAINED[i % len(SELF_CONTAINED)]) for i, n in enumerate(SEEING)]
)
def test_one_and_two_pictures(name: str, method: str, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    found = trained(checkpoint(name), tmp_path, method, "shown")
    _holds(found, "one", "two")
    assert found["seen"] > 500 * ALLOWED, "nothing depends on the pictures: the comparison would hold without them"


@pytest.mark.parametrize("name", ["gemma3", "llava_next", "qwen2_5_vl"])
def test_a_model_that_sees_reads_text(name: str, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    _holds(trained(checkpoint(name), tmp_path, "grpo", "text", LORA), "text")


@pytest.mark.parametrize("method", SELF_CONTAINED)
def test_a_text_model_by_all_methods(method: str, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    _holds(trained(checkpoint("qwen3"), tmp_path, method, "text"), "text")


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "qwen3"])
def test_text_models(name: str, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    _holds(trained(checkpoint(name), tmp_path, "rlsd", "text"), "text")


@pytest.mark.parametrize(("name", "kind"), [("gemma4", "shown"), ("llava", "shown"), ("llama", "text")])
def test_replies_are_those_to_each_question_alone(
    name: str, kind: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    assert answered(checkpoint(name), tmp_path, kind) == 0


def test_what_cannot_be_right_is_refused_by_name(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = checkpoint(REFUSED)
    with pytest.raises(UserError, match="a paligemma cannot be trained here: its prompt attends"):
        load(resolve("cpu", "grpo", 0, [f"model.path={folder}"]).model)
    with pytest.raises(UserError, match="shows a picture, and the model reads text alone"):
        trained(checkpoint("llama"), tmp_path, "grpo", "shown")
    with pytest.raises(UserError, match="reads text alone, and the bench shows pictures"):
        load_engine(str(checkpoint("llama")), EvalSettings(), max_images=1)
