"""Sizes of families other than Qwen3-VL, against the models themselves."""

from pathlib import Path

import pytest

from eval.core.errors import UserError
from runners.plan.model_shape import model_shape
from runners.plan.plan import notes
from runners.run.config import resolve
from tests.support.families import TEXTS, VLMS


@pytest.mark.parametrize(("name", "uncounted"), [("llama", ""), ("gpt2", None), ("llava", "the pictures of a llava")])
def test_other_families_are_counted_as_far_as_they_are_known(name: str, uncounted: str | None, tmp_path: Path) -> None:
    model, _, _ = (VLMS | TEXTS)[name]()
    model.config.save_pretrained(tmp_path)
    settings = resolve("cpu", "grpo", 0, [f"model.path={tmp_path}"])
    if uncounted is None:
        with pytest.raises(UserError, match="a plan cannot count a gpt2: its decoder has no `layers`"):
            model_shape(settings.model)
        return
    shape = model_shape(settings.model)
    assert shape.total == sum(p.numel() for p in model.parameters())
    assert shape.decoder_linear == sum(
        p.numel() for n, p in model.get_decoder().layers.named_parameters() if n.endswith("proj.weight")
    )
    assert (shape.patch, shape.merge) == (0, 0)
    assert shape.uncounted.startswith(uncounted) and bool(shape.uncounted) == bool(uncounted)
    said = notes(settings, shape)
    assert any(note.startswith("not counted: ") for note in said) == bool(uncounted)
