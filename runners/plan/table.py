"""A plan as tables for the terminal, 100 columns wide."""

import shlex

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from runners.plan.memory import ALWAYS, GIB, PHASES
from runners.plan.plan import Plan
from runners.plan.work import BANDWIDTH, PEAK, STREAM
from runners.run.config import Settings

WIDTH = 100


def tables(plan: Plan, settings: Settings, mfu: float) -> Group:
    """Everything of a plan but its commands: what is trained, batches, memory, work."""
    parts: list[RenderableType] = [_run(plan, settings), _batch(plan, settings), _memory(plan), _verdict(plan)]
    notes = [Text(f"Note: {note}\n", style="yellow") for note in plan.notes]
    return Group(*parts, _work(plan, settings, mfu), *notes)


def commands(plan: Plan) -> list[str]:
    """What to type, each on a line that must not be broken."""
    lines = ["Train it with:", shlex.join(["python", *plan.train])]
    if plan.launch:
        lines += ["It starts its processes itself. With a launcher of your own it is:", shlex.join(plan.launch)]
    return lines


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", width=WIDTH, show_header=bool(columns), title_style="bold")
    for name in columns or ("", ""):
        number = name in ("GiB", "PFLOP", "seconds")
        table.add_column(name, justify="right" if number else "left", no_wrap=number)
    return table


def _run(plan: Plan, settings: Settings) -> Table:
    table = _table(f"Plan: {settings.method} with preset {settings.preset}. Nothing is trained, nothing is loaded.")
    shape, model, t = plan.shape, settings.model, settings.train
    trained = f"all {shape.total:,} parameters"
    if shape.trained != shape.total:
        trained = f"{shape.trained:,} of {shape.total:,} parameters: adapters"
    where = "one process, on a GPU if there is one"
    if t.processes > 1:
        divided = "weights, gradients, optimizer and teacher divided among them (FSDP2)"
        where = f"{t.processes} GPUs, {divided if t.sharding == 'fsdp2' else 'a whole copy on each (DDP)'}"
    table.add_row("model", f"{model.path}, {model.dtype}, {model.attention}")
    table.add_row("trained", trained)
    table.add_row("where", f"{where}; rollouts by {'vLLM on the same GPUs' if t.vllm else 'transformers'}")
    table.add_row("teacher", plan.teacher)
    table.add_row("parameters", ", ".join(f"{k}={v}" for k, v in settings.params.items()) or "the method has none")
    return table


def _batch(plan: Plan, settings: Settings) -> Table:
    b, t = plan.batch, settings.train
    gpus = _many(t.processes, "GPU")
    parts = f"{gpus} x micro_batch {t.device_batch} x {_many(b.updates, 'update')}"
    drawn = "drawn as needed" if settings.data.source == "synthetic" else "how many there are is not known"
    seen = drawn if b.epochs is None else f"{b.epochs:.2f} epochs"
    table = _table("Batches")
    table.add_row("a step", f"{b.prompts} prompts x {t.generations} rollouts = {b.rollouts:,} rollouts")
    table.add_row("on a GPU", f"{b.rollouts:,} rollouts / {gpus} = {b.rollouts_per_gpu:,} rollouts")
    table.add_row("an update", f"{b.rollouts:,} rollouts / ({parts}) = {_many(b.accumulation, 'micro-batch', 'es')}")
    length = f"({t.max_prompt_tokens:,} + {t.max_completion_tokens:,})"
    table.add_row("tokens", f"at most {b.rollouts:,} x {length} = {b.tokens:,} a step")
    steps = f"{t.steps:,} steps with {_many(b.updates, 'update')} each"
    table.add_row("the run", f"{steps}; {t.steps * b.prompts:,} prompts of {settings.data.source}: {seen}")
    return table


def _memory(plan: Plan) -> Table:
    memory = plan.memory
    title = "Memory of one GPU, at most: every prompt and completion at its limit, pictures as large as allowed"
    table = _table(title, "what", "how it comes about", "when", "GiB")
    for line in memory.lines:
        when = "always" if line.phases == ALWAYS else " and ".join(p for p in PHASES if p in line.phases)
        table.add_row(line.what, line.formula, when, _gib(line.size))
    table.add_section()
    for phase in PHASES:
        most = ", the most" if phase == memory.worst else ""
        table.add_row("in all", f"always, and during {phase}{most}", phase, _gib(memory.of(phase)))
    return table


def _verdict(plan: Plan) -> Text:
    needed, there = f"{plan.memory.needed / GIB:.1f} GiB", f"{plan.memory.available / GIB:g} GiB (--gpu-memory)"
    if plan.mend is None:
        return Text(f"It fits: {needed} of {there}.\n", style="green")
    short = f"{needed}, and a GPU has {there}"
    if not plan.memory.sequences:
        short = f"vLLM's share of {there} does not hold its weights and one rollout of full length"
    return Text(f"It does not fit: {short}.\n{plan.mend}\n", style="red")


def _work(plan: Plan, settings: Settings, mfu: float) -> Table:
    title = (
        f"Work of a step on all GPUs. The seconds assume {mfu:.0%} of {PEAK / 1e12:.0f} TFLOP/s per GPU (--mfu)\n"
        f"and, for decoding, {STREAM:.0%} of {BANDWIDTH / 1e12:g} TB/s: an H200 in bfloat16"
    )
    table = _table(title, "what", "how often", "PFLOP", "seconds")
    for part in plan.work:
        table.add_row(part.what, part.formula, _number(part.flops / 1e15), _number(part.seconds))
    table.add_section()
    flops, seconds = sum(p.flops for p in plan.work), sum(p.seconds for p in plan.work)
    table.add_row(
        "a step",
        "with the rollouts that a run skips, for want of an advantage; without any waiting",
        _number(flops / 1e15),
        _number(seconds),
    )
    steps = settings.train.steps
    table.add_row("the run", f"{steps:,} such steps: about {_duration(seconds * steps)}", "", "")
    return table


def _many(n: int, noun: str, plural: str = "s") -> str:
    return f"{n:,} {noun}{'' if n == 1 else plural}"


def _gib(size: float) -> str:
    return f"{size / GIB:.2f}" if size >= 0.1 * GIB else f"{size / GIB:.1g}"


def _duration(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.2g} seconds"


def _number(value: float) -> str:
    """Three digits, without an exponent where that can be read."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 1e-4 else f"{value:.1e}"
