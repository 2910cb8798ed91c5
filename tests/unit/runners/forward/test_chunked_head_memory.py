"""The full-vocabulary loss needs no more memory than the sampled-token loss, at the vocabulary of Qwen3-VL."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from trl.trainer.utils import add_fused_lm_head

from methods import Method
from methods.opsd import OPSD
from runners.forward.batch import Rows
from runners.forward.lm_head import PLAIN
from runners.forward.logprobs import expose_hidden_states, student_scores, teacher_states
from runners.speed.measure import peak
from tests.support.methods import by_chunks

VOCABULARY, TOKENS, HIDDEN = 151_936, 256, 64


class HeadOnly(nn.Module):
    """A model whose backbone is a table of hidden states: what is measured is the head and the loss."""

    def __init__(self, vocabulary: int, tokens: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.states_NH = nn.Parameter(torch.randn(tokens + 1, HIDDEN))
        self.head = nn.Linear(HIDDEN, vocabulary, bias=False)
        self.config = SimpleNamespace(vision_config=None, get_text_config=lambda: SimpleNamespace())

    def base_model(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(last_hidden_state=self.states_NH[None])

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self) -> None: ...


def _rows(tokens: int, vocabulary: int) -> Rows:
    ids_BT = torch.arange(tokens)[None] * 7 % vocabulary
    one = torch.ones(1, 1, dtype=torch.long)
    return Rows(one, one, ids_BT, torch.ones_like(ids_BT))


def _sampled() -> Callable[[], None]:
    """What GRPO in the harness pays: TRL's fused head with entropy, as its trainer configures it."""
    model = HeadOnly(VOCABULARY, TOKENS)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    labels_BT = torch.cat([torch.full((1, 1), -100), _rows(TOKENS, VOCABULARY).completion_BT], 1)
    return lambda: model(labels=labels_BT, fused_lm_head=True).log_probs.sum().backward()


def _distilled(method: Method) -> Callable[[], None]:
    """The whole of distillation: the teacher's states, a copy of its head, the loss and its gradient."""
    model = HeadOnly(VOCABULARY, TOKENS)
    with patch("runners.forward.logprobs.form_of", return_value=PLAIN):  # no family that it could be asked as
        expose_hidden_states(model)
    rows = _rows(TOKENS, VOCABULARY)

    def step() -> None:
        states = dict.fromkeys(method.teachers, teacher_states(model, rows, copy_head=True))
        one = lambda logp_N, _: torch.ones_like(logp_N)  # noqa: E731
        loss = student_scores(model, rows, 1.0, states, by_chunks(method), one, policy=False).loss
        assert loss is not None
        loss.backward()

    return step


def test_full_vocabulary_needs_at_most_115_percent_of_the_sampled_tokens() -> None:
    # TRL's kernel runs here without Triton, which holds some temporaries more than on a GPU.
    sampled = peak(_sampled(), "cpu")
    full = peak(_distilled(OPSD()), "cpu")
    head = VOCABULARY * HIDDEN * 4 / 2**20
    assert sampled > head, "the gradient of the head alone is more: nothing was measured"
    assert full > 2 * head, "that gradient and the teacher's head alone are more: nothing was measured"
    assert full <= 1.15 * sampled, f"{full:.0f} MiB against {sampled:.0f}"
