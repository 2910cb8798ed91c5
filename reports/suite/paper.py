"""The numbers that the RLSD paper prints, as facts: percent, no standard errors given there."""

SOURCE = "RLSD paper, arXiv 2604.03128, Table 2"
MODEL = "Qwen3-VL-8B-Instruct"
DATA = "official benchmark sets"
NOTE = (
    f"As printed in the {SOURCE}: {MODEL}, {DATA}, in percent. The paper gives no standard errors. These numbers are "
    "here for orientation: they were not measured by this suite, and their grader and sampling are not ours."
)

BASE = "base"  # the row of the untrained model
PLAIN = "grpo"  # trained by reward alone: no teacher was told a reference that could leak
# By what their teacher knows; RLSD asks it for credit alone.
TOLD, SHOWN, EXTERNAL, CREDIT = "opsd", "sdpo", "opd", "rlsd"
# Of Figure 3a, by whose likeliest token alone is imitated; and of Table 3, by a teacher with the student's weights.
TEACHER_TOP, STUDENT_TOP, ONLINE = (f"{TOLD}@{name}" for name in ("teacher-top-1", "student-top-1", "online"))
ALIKE = f"{EXTERNAL}@jsd"  # of Figure 3c, in OPSD's own divergence, so that the teachers alone differ
# The order of Table 2's rows, ours and the paper's.
LABELS = {
    BASE: "Base",
    "grpo": "GRPO",
    "opsd": "OPSD",
    "sdpo": "SDPO",
    "grpo_opsd": "GRPO+OPSD",
    "rlsd": "RLSD",
}

AVERAGE = "average"
COLUMNS = ("mmmu", "mathvista", "mathvision", "zerobench", "wemath", AVERAGE)
PERCENT = {
    BASE: (62.44, 73.80, 47.37, 19.76, 54.10, 51.49),
    "grpo": (65.11, 76.20, 48.82, 22.60, 56.57, 53.86),
    "opsd": (63.82, 75.10, 47.53, 21.06, 54.95, 52.49),
    "sdpo": (65.11, 74.00, 47.27, 25.15, 52.19, 52.74),
    "grpo_opsd": (63.22, 75.90, 48.52, 22.16, 54.76, 52.91),
    "rlsd": (67.22, 78.10, 52.73, 24.85, 58.00, 56.18),
}


def gain(method: str, column: str) -> float | None:
    """What the paper's row has over its base, 0..1; None for a row or column that it does not have."""
    if method not in PERCENT or column not in COLUMNS:
        return None
    at = COLUMNS.index(column)
    return (PERCENT[method][at] - PERCENT[BASE][at]) / 100


# One line a method for readers who meet the names here for the first time.
SUMMARIES = {
    BASE: "the model before any of the training below",
    "grpo": "several replies a question; each is pushed up or down by its reward against the group's mean",
    "opsd": "the model imitates itself as it would reply if told the reference; rewards play no part",
    "sdpo": "the model imitates itself as it would reply if shown a successful reply of the same group",
    "grpo_opsd": "GRPO's and OPSD's losses, interpolated with a fixed weight",
    "rlsd": "GRPO's reward sets the direction of each reply's push; knowing the answer only shifts its size per token",
}
