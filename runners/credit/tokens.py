"""What each token of given replies gets: a method's credit on rollouts, whoever sampled them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from eval.core.errors import UserError
from methods import Context, Method, Rollouts, Sibling, Task, Teacher, Tokens
from runners.probe.scored import logits, reply_ids
from runners.probe.subject import Item


class Models(NamedTuple):
    """The student, and the model before training. A teacher that follows the policy (live, snapshot, EMA) is taken as
    just renewed, and so is the student itself."""

    student: nn.Module
    initial: nn.Module
    processor: Any

    def holder(self, teacher: Teacher) -> nn.Module:
        if teacher.kind == "external":
            raise UserError("credit of a method with an external teacher cannot be shown: its model is not loaded here")
        return self.initial if teacher.kind == "initial" else self.student


@dataclass(frozen=True)
class Replies:
    """Replies to one item; `rewards` are accuracies, `advantages` GRPO's. step: of the methods' schedules, from 1."""

    item: Item
    replies: Sequence[str]
    rewards: Sequence[float]
    advantages: Sequence[float]
    step: int = 1


class Read(NamedTuple):
    """The group's replies as tokens, with logits (T, V) of the student and, by context, of each teacher; a teacher that
    is told nothing about a reply has none."""

    ids: list[list[int]]
    student: list[Tensor]
    teachers: list[dict[str, Tensor]]


def untold(models: Models, group: Replies) -> Read:
    """The part of `read` that is the same for every method."""
    ids = [reply_ids(models.processor, reply) for reply in group.replies]
    return Read(ids, logits(models.student, models.processor, group.item.prompt(), ids), [{} for _ in ids])


def told(method: Method, group: Replies, answer: str | None = None) -> list[Mapping[str, Context]]:
    """What the method's teachers read of each reply. `answer`: in the place of the item's own, without a solution."""
    item = group.item
    task = Task(item.answer, item.solution, item.pictures) if answer is None else Task(answer, None, item.pictures)
    siblings = [Sibling(*pair) for pair in zip(group.replies, group.rewards, strict=True)]
    return [method.contexts(task, siblings, i) for i in range(len(siblings))]


def read(
    method: Method, models: Models, group: Replies, student: Read, contexts: Sequence[Mapping[str, Context]]
) -> Read:
    """`student` with what the method's teachers say after having been told `contexts`."""
    teachers: list[dict[str, Tensor]] = [{} for _ in contexts]
    for name, teacher in method.teachers.items():
        waiting = [b for b, of_reply in enumerate(contexts) if name in of_reply]
        while waiting:  # replies that are told the same go together
            context = contexts[waiting[0]][name]
            alike = [b for b in waiting if contexts[b][name] == context]
            waiting = [b for b in waiting if b not in alike]
            prompt, ids = group.item.prompt(context, context.pictures), [student.ids[b] for b in alike]
            for b, heard_TV in zip(alike, logits(models.holder(teacher), models.processor, prompt, ids), strict=True):
                teachers[b][name] = heard_TV
    return student._replace(teachers=teachers)


def token_credit(method: Method, processor: Any, group: Replies, said: Read) -> pd.DataFrame:
    """One row a token: rollout, position, token, reward; log-probabilities under `student` and `teacher` (the first
    context's; NaN without one) and their `delta`; `weight`, by which a policy gradient's advantage was multiplied (1
    where by nothing); and `advantage`, the credit.

    Of a policy gradient it is the method's advantage. A divergence D has no advantage: it gets the one that would move
    the student's logits as it does on average over the student's next token, -(dD/dz_v) / P_S(v) at the sampled v, with
    mean 0 over v. For KL(S || T) that is log P_T/P_S plus a constant (Eq. 17). A method that has both gets their sum.
    """
    rows = _rollouts(method, group, said)
    credit = method.credit(rows) if method.policy_gradient else None
    frames = []
    for b, ids in enumerate(said.ids):
        n, ids_T = len(ids), torch.tensor(ids)
        student_T = _chosen(said.student[b], ids_T)
        teacher = next(iter(said.teachers[b].values()), None)
        teacher_T = torch.full((n,), float("nan")) if teacher is None else _chosen(teacher, ids_T)
        advantage_T, weight_T = torch.zeros(n), torch.ones(n)
        if credit is not None:
            of_all = credit.advantages
            advantage_T = of_all[b].expand(n) if of_all.dim() == 1 else of_all[b, :n]
            weight_T = weight_T if credit.weights_BT is None else credit.weights_BT[b, :n]
        if method.distils and said.teachers[b]:
            advantage_T = advantage_T + _of_divergence(method, group, said, b, ids_T)
        columns = {
            "rollout": b,
            "position": range(n),
            "token": [processor.tokenizer.decode([token]) for token in ids],
            "student": student_T.tolist(),
            "teacher": teacher_T.tolist(),
            "delta": (teacher_T - student_T).tolist(),
            "weight": weight_T.tolist(),
            "advantage": advantage_T.tolist(),
            "reward": group.rewards[b],
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _chosen(logits_TV: Tensor, ids_T: Tensor) -> Tensor:
    """(T,) log-probabilities of the sampled tokens."""
    found: Tensor = logits_TV.log_softmax(-1).cpu().gather(-1, ids_T[:, None])[:, 0]
    return found


def _rollouts(method: Method, group: Replies, said: Read) -> Rollouts:
    """The group as a method's `credit` sees it."""
    shape = len(said.ids), max(map(len, said.ids))
    advantages_B, rewards_B = torch.tensor(group.advantages).float(), torch.tensor(group.rewards).float()
    mask_BT, student_BT = torch.zeros(shape), torch.zeros(shape)
    teacher = {name: torch.zeros(shape) for name in method.teachers}
    entropy = {name: torch.zeros(shape) for name in method.teachers}
    asked_B = method.asks_teacher(group.step, advantages_B)
    for b, ids in enumerate(said.ids):
        n, ids_T = len(ids), torch.tensor(ids)
        mask_BT[b, :n], student_BT[b, :n] = 1, _chosen(said.student[b], ids_T)
        for name in method.teachers:
            heard_TV = said.teachers[b].get(name, said.student[b])
            teacher[name][b, :n] = _chosen(heard_TV, ids_T) if asked_B[b] else student_BT[b, :n]
            logp_TV = heard_TV.log_softmax(-1)
            entropy[name][b, :n] = -(logp_TV.exp() * logp_TV).sum(-1).cpu()
    told = {name: torch.tensor([name in heard for heard in said.teachers]) for name in method.teachers}
    # As where nothing asks for log-probabilities in training: `credit` sees None.
    scored = method.credit_uses_teacher and bool(asked_B.any())
    return Rollouts(
        group.step, rewards_B, advantages_B, mask_BT, student_BT if scored else None, teacher, rewards_B, entropy, told
    )


def _of_divergence(method: Method, group: Replies, said: Read, b: int, ids_T: Tensor) -> Tensor:
    """(T,): the advantage that stands for the divergence of one reply's tokens."""
    n, solved = len(ids_T), sum(group.rewards) / len(group.rewards)
    z_TV = said.student[b].detach().clone().requires_grad_(True)

    def same(value: float) -> Tensor:
        return torch.full((n,), float(value), device=z_TV.device)

    tokens = Tokens(
        group.step,
        same(group.rewards[b]),
        same(group.rewards[b]),
        same(group.advantages[b]),
        same(solved),
        torch.arange(n, device=z_TV.device),
        same(n),
        {name: same(name in said.teachers[b]).bool() for name in method.teachers},
    )
    heard = {name: said.teachers[b].get(name, said.student[b]) for name in method.teachers}
    (slope_TV,) = torch.autograd.grad(method.distill(z_TV, heard, tokens).sum() * method.divergence_weight, z_TV)
    at_T1 = ids_T[:, None].to(z_TV.device)
    pushed_T = -slope_TV.gather(-1, at_T1) / z_TV.detach().softmax(-1).gather(-1, at_T1).clamp(min=1e-12)
    return pushed_T[:, 0].cpu()
