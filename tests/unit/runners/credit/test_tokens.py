from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from methods import METHODS, Method
from methods.grpo import GRPO
from methods.grpo_opsd import GRPOPlusOPSD
from methods.opsd import OPSD
from methods.rlsd import RLSD
from runners.credit.tokens import Read, Replies, token_credit
from runners.data.treatment import Treatment
from runners.probe.subject import Item

V = 11
ITEM = Item("i", "How many?", [], "7", None, Treatment(False, False, "000", None))
GROUP = Replies(ITEM, ["a", "b"], [1.0, 0.0], [0.7, -0.7])


class Processor:
    """Tokens are their numbers."""

    class tokenizer:
        @staticmethod
        def decode(ids: list[int]) -> str:
            return f"<{ids[0]}>"


def said(method: Method, told: bool = True) -> Read:
    random = torch.Generator().manual_seed(0)

    def logits(n: int) -> Tensor:
        return torch.randn(n, V, generator=random)

    ids = [[1, 2, 3], [4, 5, 6, 7]]
    teachers: list[dict[str, Tensor]] = [{name: logits(len(row)) for name in method.teachers if told} for row in ids]
    return Read(ids, [logits(len(row)) for row in ids], teachers)


def logp(read: Read, b: int, of: Mapping[int, Tensor] | None = None) -> Tensor:
    return read.student[b].log_softmax(-1)[range(len(read.ids[b])), read.ids[b]]


def credit(method: Method, read: Read, group: Replies = GROUP) -> list[Tensor]:
    frame = token_credit(method, Processor, group, read)
    return [torch.tensor(reply["advantage"].to_numpy()).float() for _, reply in frame.groupby("rollout")]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_table(name: str) -> None:
    method: Any = METHODS[name]()
    read = said(method)
    frame = token_credit(method, Processor, GROUP, read)
    assert frame["token"].tolist() == ["<1>", "<2>", "<3>", "<4>", "<5>", "<6>", "<7>"]
    assert frame["position"].tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert frame["advantage"].notna().all()
    assert frame["student"].tolist() == pytest.approx(torch.cat([logp(read, 0), logp(read, 1)]).tolist())
    assert frame["delta"].isna().all() == (not method.teachers)


def test_grpo_gives_every_token_the_same() -> None:
    first, second = credit(GRPO(), said(GRPO()))
    assert torch.equal(first, torch.full((3,), 0.7))
    assert torch.equal(second, torch.full((4,), -0.7))


def test_rlsds_credit_is_its_equation() -> None:
    method = RLSD()
    read = said(method)
    for b, (found, sign) in enumerate(zip(credit(method, read), (1, -1), strict=True)):
        teacher = read.teachers[b]["answer"].log_softmax(-1)[range(len(read.ids[b])), read.ids[b]]
        weight = (sign * (teacher - logp(read, b))).exp().clamp(0.8, 1.2)
        mix = 0.5 * (1 - 1 / 50)
        torch.testing.assert_close(found, sign * 0.7 * ((1 - mix) + mix * weight))


def test_past_its_schedule_rlsd_is_grpo() -> None:
    late = Replies(ITEM, GROUP.replies, GROUP.rewards, GROUP.advantages, step=60)
    assert credit(RLSD(), said(RLSD()), late)[0].tolist() == pytest.approx([0.7] * 3)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_divergences_advantage_in_closed_form(beta: float) -> None:
    """KL(T || S): P_T / P_S - 1. KL(S || T): log P_T / P_S plus the divergence."""
    method = OPSD(beta=beta)
    read = said(method)
    for b, found in enumerate(credit(method, read)):
        at = range(len(read.ids[b])), read.ids[b]
        s_TV, t_TV = read.student[b].log_softmax(-1), read.teachers[b]["reference"].log_softmax(-1)
        delta = (t_TV - s_TV)[at]
        reverse = delta + (s_TV.exp() * (s_TV - t_TV)).sum(-1)
        torch.testing.assert_close(found, delta.exp() - 1 if beta == 0 else reverse, rtol=1e-4, atol=1e-5)


def test_a_divergences_advantage_is_zero_on_average_over_the_next_token() -> None:
    method = OPSD()
    read = said(method)
    chance_TV = read.student[0].softmax(-1)
    mean_T = torch.zeros(3)
    for v in range(V):
        there = Read([[v] * 3, read.ids[1]], read.student, read.teachers)
        mean_T += chance_TV[:, v] * credit(method, there)[0]
    torch.testing.assert_close(mean_T, torch.zeros(3), rtol=0, atol=1e-5)


def test_both_losses_of_the_hybrid_are_in_its_credit() -> None:
    read = said(OPSD())
    distilled, hybrid = credit(OPSD(), read), credit(GRPOPlusOPSD(gamma=0.25), read)
    torch.testing.assert_close(hybrid[0], 0.75 * 0.7 + 0.25 * distilled[0])


@pytest.mark.parametrize("name", [name for name, kind in METHODS.items() if kind().distils])
def test_who_is_told_nothing_is_not_distilled(name: str) -> None:
    method: Any = METHODS[name]()
    frame = token_credit(method, Processor, GROUP, said(method, told=False))
    policy = method.credit  # what is left is the policy gradient's part, the same for every token
    assert frame.groupby("rollout")["advantage"].nunique().tolist() == [1, 1]
    assert policy is not None
    assert frame["teacher"].isna().all()
