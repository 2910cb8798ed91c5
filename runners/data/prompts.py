"""What the student is asked, and how what a teacher is told follows it in the same user turn.

The teacher scores the same completion. The words are the method's: methods/words.py.
"""

from typing import Any

from eval.engines.chat import system_turn
from methods import Context

INSTRUCTION = "Reason step by step and put the final answer in \\boxed{}."

MARKER = "<image>"  # where a data set's question places a picture
Message = dict[str, Any]


def student_text(question: str) -> str:
    return f"{question}\n{INSTRUCTION}"


def told_text(student: str, told: Context) -> str:
    """The student's user turn with the privileged words after it; what they say of pictures places none."""
    return f"{student}\n\n{told.words.replace(MARKER, 'image')}" if told.words else student


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


def messages(text: str, images: int, system: str | None = None, plain: bool = False) -> list[Message]:
    """One user turn as a multimodal chat template wants it, after what the system says; `plain`: as that of a text
    model does."""
    return [*system_turn(system, plain), {"role": "user", "content": text if plain else content(text, images)}]
