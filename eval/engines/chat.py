"""What stands around every prompt: a system turn and options of the chat template, the same for all who ask a model."""

from typing import Any

from eval.core.errors import UserError, one_line
from eval.engines.requests import tokenizer_of
from eval.settings import Chat


def system_turn(text: str | None, plain: bool = False) -> list[dict[str, Any]]:
    """As a multimodal chat template wants it; `plain`: as that of a text model does."""
    if text is None:
        return []
    return [{"role": "system", "content": text if plain else [{"type": "text", "text": text}]}]


def require_chat(chat: Chat, processor: Any, model: str) -> None:
    """Raises UserError for what the model's chat template does not have: it would say nothing about it."""
    template = str(getattr(processor, "chat_template", None) or tokenizer_of(processor).chat_template)
    if unknown := [name for name in chat.template_options if name not in template]:
        raise UserError(f"the chat template of {model} has no {unknown[0]}: see model.template and .thinking")
    plain = tokenizer_of(processor) is processor
    asked = {"role": "user", "content": "?" if plain else [{"type": "text", "text": "?"}]}
    turns, how = [*system_turn(chat.system, plain), asked], chat.template_options
    try:
        shown = processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **how)
    except Exception as error:  # whatever a template raises
        line = f"the chat template of {model} refuses model.system or model.template ({one_line(error)})"
        raise UserError(line) from None
    if (chat.system or "").strip() not in shown:
        raise UserError(f"the chat template of {model} leaves model.system out: set it to null")


def say_around(chat: Chat, processor: Any, model: str) -> None:
    """From now on every prompt that `processor` renders has around it what training has around its own. Raises
    UserError as `require_chat`."""
    if chat == Chat():
        return
    require_chat(chat, processor, model)
    render, system = processor.apply_chat_template, system_turn(chat.system, tokenizer_of(processor) is processor)

    def rendered(turns: list[dict[str, Any]], **how: Any) -> Any:
        own = turns[0]["role"] == "system"  # of a task of lm-eval's, which has been told ours
        return render(turns if own else [*system, *turns], **{**chat.template_options, **how})

    processor.apply_chat_template = rendered
