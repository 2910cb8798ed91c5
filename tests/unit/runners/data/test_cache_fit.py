"""How long a prompt is, and what no row may say."""

from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from eval.core.errors import UserError
from runners.data.cache import counted_by, prompt_tokens, refuse_placeholders
from runners.data.prompts import messages
from tests.support.training import processor

ASKED = "How many dots?"


@pytest.mark.parametrize("sizes", [[], [(48, 32)], [(48, 32), (100, 20)]])
def test_tokens_are_those_of_the_processor(sizes: list[tuple[int, int]]) -> None:
    """But for the words of the template, the same for every prompt."""
    pictures = [Image.new("RGB", size) for size in sizes]
    turn = processor().apply_chat_template(messages(ASKED, len(sizes)), add_generation_prompt=True, tokenize=False)
    whole = processor()(text=[turn], images=[pictures] if pictures else None)["input_ids"][0]
    frame = processor().apply_chat_template(messages("", 0), add_generation_prompt=True, tokenize=False)
    template = len(processor().tokenizer(frame)["input_ids"])
    counted = prompt_tokens(ASKED, pictures, sizes, "row 1", processor())
    assert counted == len(whole) - template - 2 * len(sizes), "two frame each picture"


def test_a_processor_that_knows_no_sizes_counts_the_whole_prompt() -> None:
    class Whole:
        tokenizer, apply_chat_template = processor().tokenizer, processor().apply_chat_template

        def __call__(self, **inputs: Any) -> Any:
            return processor()(**inputs)

    picture = Image.new("RGB", (48, 32))
    counted = [prompt_tokens(ASKED, [picture], [picture.size], "row 1", one) for one in (processor(), Whole())]
    assert 0 < counted[1] - counted[0] < 12


def test_a_text_model_is_shown_no_picture() -> None:
    tokenizer = processor().tokenizer
    assert prompt_tokens(ASKED, [], [], "row 1", tokenizer) == len(tokenizer(ASKED)["input_ids"])
    with pytest.raises(UserError, match=r"^row 1 shows a picture, and the model reads text alone"):
        prompt_tokens(ASKED, [b""], [(1, 1)], "row 1", tokenizer)


def test_the_model_s_own_placeholder_is_refused() -> None:
    own = SimpleNamespace(image_token="<picture-here>", video_token=None)
    with pytest.raises(UserError, match=r"^row 1 says <picture-here>, which stands for a picture: mend it"):
        refuse_placeholders("What is <picture-here>?", "row 1", own)
    refuse_placeholders("<image>What is this?", "row 1", SimpleNamespace(image_token="<image>"))


def test_counts_of_another_limit_or_tokenizer_are_others() -> None:
    from transformers import AutoProcessor

    from runners.run.model import locate

    smaller = AutoProcessor.from_pretrained(locate("embedded"), max_pixels=32 * 32)
    assert len({counted_by(one) for one in (processor(), smaller, processor().tokenizer)}) == 3
    assert counted_by(processor()) == counted_by(AutoProcessor.from_pretrained(locate("embedded")))
