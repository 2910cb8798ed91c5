"""What a machine has for a run, and what it lacks: each check says what it found, or how to mend it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from eval.core.errors import UserError, one_line
from eval.engines.requests import tokenizer_of
from runners.data.prompts import messages
from runners.run.config import Settings, resolve
from runners.run.model import locate, processor_of
from runners.run.run_dir import versions

ROOM_GIB = 5


def checks(preset: str) -> Iterator[tuple[str, bool, str]]:
    """Name, whether it is a fault, and what was found; each check goes on whatever another met."""
    settings = resolve(preset, "base", 0, [])
    for name, check in CHECKS.items():
        try:
            yield name, False, check(settings)
        except UserError as error:
            yield name, True, str(error)
        except Exception as error:  # a check must not take the others with it
            yield name, True, one_line(error)


def _versions(_: Settings) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions().items())


def _devices(settings: Settings) -> str:
    import torch

    cores = len(os.sched_getaffinity(0))
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    if not gpus and (settings.train.vllm or settings.model.dtype == "bfloat16"):
        raise UserError(f"no GPU, and preset {settings.preset} is made for one: use --preset cpu")
    names = ", ".join(f"{gpu.name} {gpu.total_memory / 2**30:.0f} GiB" for gpu in gpus)
    return f"{cores} cores; {names or 'no GPU'}"


def _disk(_: Settings) -> str:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    if free < ROOM_GIB:
        raise UserError(f"{free:.1f} GiB free here; a run wants {ROOM_GIB} at least: free some, or pass --out")
    return f"{free:.0f} GiB free here"


def _model(settings: Settings) -> str:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(locate(settings.model.path))
    return f"{settings.model.path}: {config.model_type}"


def _data(settings: Settings) -> str:
    from runners.data.training import training_rows

    return f"{settings.data.source}: {len(training_rows(settings, processor_of(settings.model.path)))} rows"


def _prompts(settings: Settings) -> str:
    """Text through the tokenizer and back, or a token table would show another reply than was trained on."""
    processor = processor_of(settings.model.path)
    tokenizer = tokenizer_of(processor)
    plain = tokenizer is processor  # a text model's
    asked = messages("What is 2 + 3?", 0 if plain else 1, plain=plain)
    text = processor.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    back = tokenizer.decode(ids)
    if back.replace(" ", "") != text.replace(" ", ""):
        raise UserError("the chat template's text does not come back from the tokenizer: check the model's files")
    return f"a prompt of {len(ids)} tokens comes back as it went in"


def _untold(settings: Settings) -> str:
    """A teacher that is told nothing is the student: its log-probabilities differ by exactly 0."""
    import torch

    from runners.data.training import training_rows
    from runners.forward.batch import PICTURES, Rows
    from runners.forward.logprobs import expose_hidden_states, token_log_probs
    from runners.run.model import load

    if settings.model.path != "embedded" and not torch.cuda.is_available():
        return "not asked: loading this model takes a GPU"
    model, processor = load(settings.model)
    model = model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    expose_hidden_states(model)
    row = training_rows(settings, processor)[0]
    tokenizer, images = tokenizer_of(processor), {"images": row["images"]} if row["images"] else {}
    asked = messages(row["prompt"][-1]["content"], len(row["images"]), plain=tokenizer is processor)
    text = processor.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    found = processor(text=[text], **images, return_tensors="pt").to(model.device)
    reply = tokenizer(str(row["answer"]), return_tensors="pt").to(model.device)["input_ids"]
    pictures = {name: found[name] for name in PICTURES if name in found}
    mask, types = found["attention_mask"], found.get("mm_token_type_ids")
    rows = Rows(found["input_ids"], mask, reply, torch.ones_like(reply), types, pictures, [len(row["images"])])
    student_BT, teacher_BT = (token_log_probs(model, rows, settings.train.temperature) for _ in range(2))
    if (worst := float((teacher_BT - student_BT).abs().max())) != 0:
        raise UserError(
            f"told nothing, teacher and student differ by {worst:.2g}: this machine's kernels are not exact"
        )
    return f"teacher minus student is 0 on {reply.shape[1]} token(s) of an untold prompt"


CHECKS: dict[str, Callable[[Settings], str]] = {
    "versions": _versions,
    "devices": _devices,
    "disk": _disk,
    "model": _model,
    "data": _data,
    "prompts": _prompts,
    "untold": _untold,
}
