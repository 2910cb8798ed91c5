"""The five benches, each with one grading rule. No torch, no pandas: a reward and a command line can afford it."""

from eval.grading import mathvision, mathvista, mmmu, wemath, zerobench
from eval.grading.score import Bench

VERSION = "3"  # raised whenever a verdict can change: results of different versions must not be compared

BENCHES: dict[str, Bench] = {
    module.BENCH.name: module.BENCH for module in (mmmu, mathvista, mathvision, zerobench, wemath)
}
