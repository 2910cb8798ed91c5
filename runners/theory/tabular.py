"""A small tabular model in which every expectation is an exact sum: X prompts, R references, V tokens, T steps.

A prefix of t tokens is its number in base V. Shapes: P prefixes of one length, so V to the power of t.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

X, R, V, T = 2, 4, 3, 3


@dataclass(frozen=True)
class Tabular:
    """Logits of the student and of the told teacher after each prefix, and the chances of prompts and references.

    student: by length t (X, P, V); teacher: by length t (X, R, P, V); both float64.
    """

    prompt_X: Tensor
    reference_XR: Tensor
    student: tuple[Tensor, ...]
    teacher: tuple[Tensor, ...]

    def prefixes(self) -> list[Tensor]:
        """By length 0 .. T: the chance (X, P) that the student writes the prefix, given the prompt."""
        found = [torch.ones(X, 1, dtype=torch.float64)]
        for logits_XPV in self.student:
            found.append((found[-1][:, :, None] * logits_XPV.softmax(-1)).flatten(1))
        return found


def drawn(seed: int = 0) -> Tabular:
    """A student and a teacher that have nothing to do with each other."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    return Tabular(
        normal(X).softmax(-1),
        normal(X, R).softmax(-1),
        tuple(normal(X, V**t, V) for t in range(T)),
        tuple(normal(X, R, V**t, V) for t in range(T)),
    )


def bayesian(seed: int = 0) -> tuple[Tabular, list[Tensor]]:
    """A teacher that is the student's Bayes posterior (the paper's Assumption 1): some P(r | x, y) of whole replies is
    drawn, and P_T(v | x, r, y_<t) = P_S(v | x, y_<t) P(r | x, y_<t v) / P(r | x, y_<t).

    Also the posteriors P(r | x, y_<=t), by length 0 .. T (X, R, P).
    """
    free, random = drawn(seed), torch.Generator().manual_seed(seed + 1)
    posterior = [torch.randn(X, R, V**T, generator=random, dtype=torch.float64).softmax(1)]
    for logits_XPV in reversed(free.student):
        student_X1PV = logits_XPV.softmax(-1)[:, None]
        posterior.insert(0, (posterior[0].unflatten(-1, (-1, V)) * student_X1PV).sum(-1))
    teacher = tuple(
        logits_XPV.log_softmax(-1)[:, None]
        + posterior[t + 1].unflatten(-1, (-1, V)).log()
        - posterior[t][..., None].log()
        for t, logits_XPV in enumerate(free.student)
    )
    return Tabular(free.prompt_X, posterior[0][..., 0], free.student, teacher), posterior


def told_words(model: Tabular) -> tuple[Tensor, Tensor]:
    """Log-probabilities of every reply's tokens under the student and the told teacher: (X R P, T) each, P = V^T."""
    replies_P = torch.arange(V**T)
    student, teacher = [], []
    for t in range(T):
        prefix_P, token_P = replies_P // V ** (T - t), replies_P // V ** (T - t - 1) % V
        student.append(model.student[t].log_softmax(-1)[:, prefix_P, token_P][:, None].expand(-1, R, -1))
        teacher.append(model.teacher[t].log_softmax(-1)[:, :, prefix_P, token_P])
    return torch.stack(student, -1).reshape(-1, T), torch.stack(teacher, -1).reshape(-1, T)
