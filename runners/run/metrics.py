"""The metrics of a training run that the report draws: what the harness logs for every method, and a method's own."""

from typing import Any

from methods import Method
from methods.base import Metric

METRICS = {
    "reward": Metric(
        "Training reward",
        "mean reward of a reply",
        "Mean reward of the step's sampled replies: up is better. It is measured on training questions and with random "
        "sampling, so it is no benchmark score.",
    ),
    "entropy": Metric(
        "Entropy",
        "nats per token",
        "How undecided the model is at each token. Near 0 all replies to a question are alike, and rewards have "
        "nothing left to tell apart.",
    ),
    "length": Metric(
        "Reply length",
        "tokens",
        "Mean length of the sampled replies. A jump up often means rambling until the limit, a drop skipped steps.",
        from_zero=False,
    ),
    "truncated": Metric("Truncated", "share of replies", "Sampled replies that were cut at the token limit."),
    "dead_groups": Metric(
        "Dead groups",
        "share of prompts",
        "Prompts whose replies all got one reward. They have no advantage: a policy gradient learns nothing there.",
    ),
    "leakage": Metric(
        "Leakage while training",
        "share of replies",
        "Share of sampled replies that mention a reference, though their prompt contains none: the trace of a teacher "
        "that was told the answer. 0 is right.",
    ),
    "early": Metric(
        "Answer before work while training",
        "share of replies",
        "Share of sampled replies that state their final answer before any work and do the work after it, as one can "
        "who was told it. Compare with the first step: models that were told nothing may do so, too.",
    ),
    "skipped": Metric(
        "Answer without work while training",
        "share of replies",
        "Share of sampled replies that give an answer and no work. Compare with the first step: a rise says that the "
        "model stops working, as under a teacher that needed none.",
    ),
    "divergence": Metric(
        "Divergence",
        "nats per token",
        "How far the student is from what its teachers say, on the rollouts that were told anything.",
    ),
    "gap": Metric(
        "Teacher–student gap",
        "nats per token",
        "Log-probability of the sampled tokens under the teacher, who was told more, minus under the student. Below 0 "
        "the teacher would rather have written something else; at 0 it has nothing to add on average.",
    ),
    "grad_norm": Metric("Gradient norm", "", "Before it is clipped."),
}


def declared(method: Method) -> dict[str, dict[str, Any]]:
    """How each metric of a run is shown: the harness's, then the method's own."""
    gaps = {f"gap_{name}": METRICS["gap"]._replace(title=f"Gap: {name} – student") for name in method.teachers}
    known = METRICS | (gaps if len(gaps) > 1 else {}) | dict(method.metrics)
    return {name: metric._asdict() for name, metric in known.items()}
