"""A plan as tables for the terminal, 100 columns wide."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from runners.plan.memory import GIB, PHASES
from runners.plan.passes import rollouts_per_gpu
from runners.plan.plan import Plan, epochs
from runners.plan.work import BANDWIDTH, PEAK, STREAM
from runners.run.config import Settings


def tables(plan: Plan, settings: Settings, mfu: float) -> Group:
    """What is trained, batches, memory, work."""
    notes = [Text(f"Note: {note}\n", style="yellow") for note in plan.notes]
    memory = (_memory(plan), _verdict(plan))
    return Group(_run(plan, settings), _batches(settings), *memory, _work(plan, settings, mfu), *notes)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", width=100, show_header=bool(columns), title_style="bold")
    for name in columns or ("", ""):
        number = name in ("GiB", "PFLOP", "seconds")
        table.add_column(name, justify="right" if number else "left", no_wrap=number)
    return table


def _run(plan: Plan, settings: Settings) -> Table:
    shape, model, t = plan.shape, settings.model, settings.train
    trained = f"all {shape.total:,} parameters"
    if shape.trained != shape.total:
        trained = f"{shape.trained:,} of {shape.total:,} parameters: adapters"
    where = "one process, on a GPU if there is one"
    if t.processes > 1:
        divided = "weights, gradients, optimizer and teacher divided among them (FSDP2)"
        where = f"{t.processes} GPUs, {divided if t.sharding == 'fsdp2' else 'a whole copy on each (DDP)'}"
    table = _table(f"Plan: {settings.method} with preset {settings.preset}. Nothing is trained, nothing is loaded.")
    table.add_row("model", f"{model.path}, {model.dtype}, {model.attention}")
    table.add_row("trained", trained)
    table.add_row("where", f"{where}; rollouts by {'vLLM on the same GPUs' if t.vllm else 'transformers'}")
    table.add_row("teacher", plan.teacher)
    table.add_row("parameters", ", ".join(f"{k}={v}" for k, v in settings.params.items()) or "the method has none")
    return table


def _batches(settings: Settings) -> Table:
    t, local = settings.train, rollouts_per_gpu(settings)
    rollouts, gpus, updates = local * t.processes, _many(t.processes, "GPU"), _many(t.updates, "update")
    micro_batches = _many(local // (t.device_batch * t.updates), "micro-batch", "es")
    length = t.max_prompt_tokens + t.max_completion_tokens
    seen = epochs(settings)
    drawn = "drawn as needed" if settings.data.source == "synthetic" else "how many there are is not known"
    data = f"{t.steps * t.prompts:,} prompts of {settings.data.source}: {f'{seen:.2f} epochs' if seen else drawn}"
    table = _table("Batches")
    table.add_row("a step", f"{t.prompts} prompts x {t.generations} rollouts = {rollouts:,} rollouts")
    table.add_row("on a GPU", f"{rollouts:,} rollouts / {gpus} = {local:,} rollouts")
    parts = f"{gpus} x micro_batch {t.device_batch} x {updates}"
    table.add_row("an update", f"{rollouts:,} rollouts / ({parts}) = {micro_batches}")
    sum_ = f"({t.max_prompt_tokens:,} + {t.max_completion_tokens:,})"
    table.add_row("tokens", f"at most {rollouts:,} x {sum_} = {rollouts * length:,} a step")
    table.add_row("the run", f"{t.steps:,} steps with {updates} each; {data}")
    return table


def _memory(plan: Plan) -> Table:
    title = "Memory of one GPU, at most: every prompt and completion at its limit, pictures as large as allowed"
    table = _table(title, "what", "how it comes about", "when", "GiB")
    for line in plan.memory.lines:
        table.add_row(line.what, line.formula, line.phase or "always", _gib(line.size))
    table.add_section()
    for phase in PHASES:
        table.add_row("in all", f"always, and during {phase}", phase, _gib(plan.memory.of(phase)))
    return table


def _verdict(plan: Plan) -> Text:
    needed, there = f"{plan.memory.needed / GIB:.1f} GiB", f"{plan.memory.available / GIB:g} GiB (--gpu-memory)"
    if plan.mend is None and plan.missing:
        return Text(f"The memory does: {needed} of {there}. Missing here: {'; '.join(plan.missing)}.\n", style="yellow")
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
    words = "with the rollouts that a run skips, for want of an advantage; without any waiting"
    table.add_row("a step", words, _number(flops / 1e15), _number(seconds))
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
