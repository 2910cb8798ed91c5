"""What the student is asked and what the teacher is told: every template of training in one place.

The teacher sees the student's prompt with the privileged text after it, inside the same user turn, and scores
the same completion. Only text is added, so the student's pictures serve both.
"""

from typing import Any, Literal

INSTRUCTION = "Reason step by step and put the final answer in \\boxed{}."

PRIVILEGE = {
    "answer": "Reference answer: {text}\nUse it to check the reasoning, but solve the problem in your own words.",
    "solution": "Correct solution:\n{text}\n\nUse it to check the reasoning, but solve the problem in your own words.",
}

PrivilegeKind = Literal["answer", "solution"]
Message = dict[str, Any]


def student_text(question: str) -> str:
    return f"{question}\n{INSTRUCTION}"


def told_text(student: str, kind: PrivilegeKind, text: str) -> str:
    """The student's user turn with the privileged text appended."""
    return f"{student}\n\n{PRIVILEGE[kind].format(text=text)}"


def messages(text: str, images: int) -> list[Message]:
    """One user turn: the pictures, then the text, as a multimodal chat template wants it."""
    content: list[Message] = [{"type": "image"} for _ in range(images)]
    return [{"role": "user", "content": [*content, {"type": "text", "text": text}]}]
