"""What a model does to its logits is found, or it is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from eval.core.errors import UserError
from runners.forward.lm_head import PLAIN, Head, HeadForm, form_of
from tests.support.families import TEXTS
from tests.support.tiny_vlm import tiny_vlm


def _made(name: str) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TEXTS[name]()[0].eval()


@pytest.mark.parametrize(
    ("name", "form"), [("llama", PLAIN), ("gemma2", HeadForm(1.0, 0.5)), ("granite", HeadForm(0.25, None))]
)
def test_the_form_gives_the_models_own_logits(name: str, form: HeadForm) -> None:
    model, ids = _made(name), torch.arange(3, 40)[None]
    assert form_of(model) == form
    hidden_LD, own_LV = model.base_model(input_ids=ids).last_hidden_state[0], model(input_ids=ids).logits[0]
    torch.testing.assert_close(Head.of(model, form)(hidden_LD, 2.0), own_LV / 2)


def test_a_configured_cap_that_the_model_leaves_out_is_left_out() -> None:
    model = tiny_vlm()
    model.config.text_config.final_logit_softcapping = 0.5
    assert form_of(model) == PLAIN


def test_logits_that_are_not_the_heads_are_refused_by_name() -> None:
    model = _made("llama")
    model.lm_head.register_forward_hook(lambda _, __, logits: logits + 0.01 * logits.roll(1, -1))
    with pytest.raises(UserError, match=r"^a llama cannot be trained here: its logits are not those"):
        form_of(model)


def test_adapters_in_the_place_of_the_head_are_refused(tmp_path: Path) -> None:
    model = _made("llama")
    get_peft_model(model, LoraConfig(r=2, target_modules=["lm_head"]))
    with pytest.raises(UserError, match=r"model\.lora\.targets names the output head"):
        form_of(model)
