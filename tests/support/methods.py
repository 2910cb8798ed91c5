"""A method's hooks with one teacher, called as a test has the numbers at hand."""

from dataclasses import replace

import torch
from torch import Tensor

from methods import Credit, Method, Rollouts, Tokens
from runners.forward.chunked_head import Distill
from runners.train.teacher import TeacherWeights


def nowhere(n: int) -> Tokens:
    """N tokens of which nothing is known."""
    zeros_N = torch.zeros(n)
    return Tokens(1, zeros_N, zeros_N, zeros_N, zeros_N, zeros_N, zeros_N, {})


def distilled(method: Method, student_NV: Tensor, teacher_NV: Tensor) -> Tensor:
    """The divergence (N,) from all of the method's teachers, who say the same."""
    teachers = dict.fromkeys(method.teachers, teacher_NV)
    return method.divergence_weight * method.distill(student_NV, teachers, nowhere(len(student_NV)))


def credited(method: Method, rollouts: Rollouts, teacher_BT: Tensor) -> Credit:
    """Credit where all of the method's teachers say the same."""
    return method.credit(replace(rollouts, teacher=dict.fromkeys(method.teachers, teacher_BT)))


def by_chunks(method: Method) -> Distill:
    """The method's divergence as the harness asks for it, of tokens of which nothing is known."""
    return lambda student_NV, teachers, where: method.distill(student_NV, teachers, nowhere(len(student_NV)))


def copied_bytes(*weights: TeacherWeights) -> int:
    """What the copies of these teachers hold on this process, wherever they are kept."""
    return sum(t.nbytes for one in weights for t in one._copy.values())
