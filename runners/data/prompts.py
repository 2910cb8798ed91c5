"""What the student is asked and what the teacher is told: every template of training in one place.

The teacher sees the student's prompt with the privileged text after it, inside the same user turn, and scores
the same completion. Only text is added, so the student's pictures serve both.
"""

from typing import Any

from methods import Privilege

INSTRUCTION = "Reason step by step and put the final answer in \\boxed{}."

# OPSD's first release and RLSD invite to understand the reference and go one's own way; OPSD's later release forbids
# to copy it (`own_words`); SDPO shows a successful rollout of the same group (`sibling`), and the RLSD authors' variant
# of it a failed one as well.
PRIVILEGE = {
    "answer": "Reference answer: {text}\nUse it to check the reasoning, but solve the problem in your own words.",
    "solution": "Correct solution:\n{text}\n\nUse it to check the reasoning, but solve the problem in your own words.",
    "own_words": (
        "Correct solution:\n{text}\n\nDo not copy, rephrase or mention it: solve the problem in your own words."
    ),
    "sibling": "Correct solution:\n{text}\n\nSolve the problem correctly.",
    "sibling_and_failure": "Correct solution:\n{text}\n\nWrong solution:\n{failure}\n\nSolve the problem correctly.",
}

MARKER = "<image>"  # where a data set's question places a picture
Message = dict[str, Any]


def student_text(question: str) -> str:
    return f"{question}\n{INSTRUCTION}"


def told_text(student: str, told: Privilege) -> str:
    """The student's user turn with the privileged text appended; what it says of pictures places none."""
    text, failure = (t.replace(MARKER, "image") for t in (told.text, told.failure))
    return f"{student}\n\n{PRIVILEGE[told.kind].format(text=text, failure=failure)}"


def content(text: str, images: int) -> list[Message]:
    """The parts of a user turn: pictures where the text says `<image>`, those it does not place before it.

    Raises ValueError where the text places more pictures than there are.
    """
    texts = text.split(MARKER)
    placed = len(texts) - 1
    if placed > images:
        raise ValueError(f"the text places {placed} pictures and there are {images}")
    parts: list[Message] = [{"type": "image"} for _ in range(images - placed)]
    for i, piece in enumerate(texts):
        parts += [{"type": "image"}] * (i > 0) + [{"type": "text", "text": piece}] * bool(piece)
    return parts


def messages(text: str, images: int) -> list[Message]:
    """One user turn as a multimodal chat template wants it."""
    return [{"role": "user", "content": content(text, images)}]
