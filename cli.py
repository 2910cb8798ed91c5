"""Compare post-training methods of vision-language models: train, evaluate, report.

Every command imports what it needs inside, so that `--help` is instant.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eval.benches import BENCHES, chosen
from eval.core import files
from eval.core.errors import UserError
from runners.speed.command import bench_app

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
data_app = typer.Typer(no_args_is_help=True, help="Prepare training data.")
app.add_typer(data_app, name="data")
app.add_typer(bench_app, name="bench")
console = Console(width=None if sys.stdout.isatty() else 120)

Preset = Annotated[str, typer.Option(help="cpu, lora, paper, or a YAML file.")]
Set = Annotated[list[str], typer.Option("--set", help="Override a setting: train.steps=10, params.clip=0.1 …")]
Suite = Annotated[str, typer.Option(help="Name of the group of runs that are compared.")]
Out = Annotated[Path, typer.Option(help="Folder of all suites.")]


@app.command()
def train(
    method: Annotated[str, typer.Option(help="grpo, opsd, sdpo, grpo_opsd, rlsd, or path/to/file.py:Class.")],
    preset: Preset = "cpu",
    seed: int = 0,
    suite: Suite = "default",
    out: Out = Path("runs"),
    set: Set = [],  # noqa: B006
    then_eval: Annotated[bool, typer.Option("--eval", help="Evaluate the trained model as well.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, as `plan` does.")] = False,
) -> None:
    """Train one method. The same command again resumes, or does nothing when the run is done."""
    if dry_run:
        return plan_run(method, preset, seed, set)
    from runners.launch.sweep import run_name
    from runners.run.config import resolve
    from runners.run.open import open_run
    from runners.run.run_dir import RunDir

    settings = resolve(preset, method, seed, set)
    run = RunDir(out / suite / run_name(method) / f"seed{seed}")
    settings, _, found = open_run(settings, run, suite)
    from runners.launch.distributed import is_launched, relaunch

    if found != "done":
        _quiet()
        if settings.train.processes > 1 and not is_launched():
            # The children only train: what follows is this process's.
            relaunch(settings, [a for a in sys.argv[1:] if a != "--eval"], run.path / "processes.log")
        else:
            if not settings.train.vllm:
                from runners.train.patches import leave_out_vllm

                leave_out_vllm()
            from runners.train.callbacks import StepBar
            from runners.train.run import train as train_run

            with StepBar(console, f"{method} seed {seed}", settings.train.steps) as bar:
                train_run(settings, run, suite, [bar])
    if is_launched():
        return
    console.print(f"{'already done, nothing to do' if found == 'done' else 'trained'}: {run.path}", soft_wrap=True)
    if then_eval:
        from runners.launch.evaluate import evaluate_run

        console.print(f"results: {evaluate_run(run, settings.eval)}", soft_wrap=True)


@app.command(name="plan")
def plan_run(
    method: Annotated[str, typer.Option(help="As for `train`.")],
    preset: Preset = "cpu",
    seed: int = 0,
    set: Set = [],  # noqa: B006
    gpu_memory: Annotated[float, typer.Option(help="GiB of one GPU: 140 (H200), 80 (H100, A100).", min=1)] = 140,
    mfu: Annotated[float, typer.Option(help="Assumed share of the GPU's peak.", min=0.01, max=1)] = 0.4,
) -> None:
    """What a run would do: batches, memory, work, teacher, launch command. Needs no GPU and no network."""
    from runners.run.config import resolve
    from runners.run.registry import complete

    settings, built = complete(resolve(preset, method, seed, set))
    _quiet()
    from runners.launch.distributed import shown_commands
    from runners.plan.plan import make_plan
    from runners.plan.table import tables

    console.print(tables(make_plan(settings, built, gpu_memory, mfu), settings, mfu))
    for line in shown_commands(settings, preset, set):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


@app.command()
def sweep(
    methods: Annotated[str, typer.Option(help="Comma-separated; `all` is every method of the registry.")] = "all",
    seeds: Annotated[str, typer.Option(help="Comma-separated.")] = "0",
    preset: Preset = "cpu",
    suite: Suite = "default",
    out: Out = Path("runs"),
    set: Set = [],  # noqa: B006
    jobs: Annotated[int, typer.Option(help="Runs at the same time.", min=1)] = 1,
    evaluate: Annotated[bool, typer.Option(help="Evaluate each trained run, and the base.")] = True,
) -> None:
    """Train (and evaluate) methods x seeds. Skips what is done, resumes what is half done."""
    from runners.launch.sweep import plan, run_jobs

    _fail_if(run_jobs(plan(methods, seeds, preset, suite, out, set, evaluate), jobs, out / suite / "logs", console))


@app.command(name="eval")
def evaluate(
    bench: Annotated[str, typer.Option(help=f"all, or comma-separated: {', '.join(BENCHES)}.")] = "all",
    run: Annotated[Path | None, typer.Option(help="A run directory: its last checkpoint is evaluated.")] = None,
    model: Annotated[str | None, typer.Option(help="A checkpoint folder, a hub id, or `embedded`.")] = None,
    data: Annotated[str | None, typer.Option(help="hub, mini, or a file or folder in the official schema.")] = None,
    engine: Annotated[str | None, typer.Option(help="transformers or vllm.")] = None,
    preset: Preset = "cpu",
    out: Annotated[Path | None, typer.Option(help="Result folder (with --model).")] = None,
    set: Set = [],  # noqa: B006
    skip_bad_rows: Annotated[bool, typer.Option(help="Leave out rows whose picture or answer is missing.")] = False,
    regrade: Annotated[
        bool, typer.Option("--regrade", help="Grade the stored replies again, without a model.")
    ] = False,
) -> None:
    """Evaluate a run or a model on the five benches and for leakage. A second call does no work."""
    from runners.run.config import override, resolve
    from runners.run.run_dir import RunDir

    if (run is None) == (model is None):
        raise UserError("say what to evaluate: either --run RUN_DIRECTORY or --model CHECKPOINT_FOLDER")
    changes = [
        f"eval.benches=[{','.join(chosen(bench.split(',')))}]",
        *(f"eval.{k}={json.dumps(v)}" for k, v in (("data", data), ("engine", engine)) if v),
    ]
    _quiet()
    from eval.pipeline.regrade import regrade as regrade_stored

    if run is not None:
        from runners.launch.evaluate import evaluate_run, results_of

        opened = RunDir(run)
        opened.info()  # says so where the folder is no run
        asked = override(opened.settings(), [*set, *changes]).eval
        if regrade:
            return regrade_stored(results_of(opened), asked.benches, asked.data)
        console.print(f"results: {evaluate_run(opened, asked, skip_bad_rows)}", soft_wrap=True)
        return
    settings = resolve(preset, "base", 0, [*set, *changes])
    from eval.pipeline.evaluate import evaluate as evaluate_model
    from runners.run.model import locate

    source = Path(settings.eval.data).stem
    folder = out or Path("runs") / "eval" / f"{Path(str(model)).name}-{source}-{settings.eval.engine}"
    if regrade:
        return regrade_stored(folder, settings.eval.benches, settings.eval.data)
    evaluate_model(locate(str(model)), settings.eval, folder, skip_bad=skip_bad_rows)
    console.print(f"results: {folder}", soft_wrap=True)


@app.command()
def grade(
    bench: Annotated[str, typer.Option(help=f"One of {', '.join(BENCHES)}.")],
    replies: Annotated[Path, typer.Option(help="Json lines with the bench's key and `response`; .gz too.")],
    out: Annotated[Path, typer.Option(help="Verdicts as json lines; the score beside it in <out>.summary.json.")],
    data: Annotated[str, typer.Option(help="The bench's rows: hub, mini, or a file or folder; no pictures.")] = "hub",
    rule: Annotated[
        str, typer.Option(help="default, or official: the authors' rule on the reply as it is.")
    ] = "default",
) -> None:
    """Grade recorded replies without a model, as `eval` grades its own."""
    from eval.grading.score import RULES
    from eval.pipeline.grade_file import grade_replies

    if bench not in BENCHES:
        raise UserError(f"unknown bench {bench!r}: choose one of {', '.join(BENCHES)}")
    if rule not in RULES:
        raise UserError(f"unknown rule {rule!r}: choose one of {', '.join(RULES)}")
    _quiet()
    console.print(grade_replies(bench, data, replies, rule, out), markup=False, highlight=False, soft_wrap=True)


@app.command()
def report(
    suite: Annotated[Path, typer.Argument(help="Folder of a suite, for example runs/default.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; default <suite>/report.")] = None,
) -> None:
    """Table 2, training dynamics, leakage and what differs between the runs, as one HTML page and files."""
    from reports.writers.folder import build
    from reports.writers.terminal import terminal_table

    page = build(suite, out)
    console.print(terminal_table(suite))
    console.print(f"report: {page}", soft_wrap=True)


@app.command()
def demo(
    out: Out = Path("runs"),
    suite: Suite = "demo",
    set: Set = [],  # noqa: B006
    jobs: Annotated[int, typer.Option(help="Runs at the same time; default one per core, at most 2.")] = 0,
) -> None:
    """All five methods on the embedded model, six rows on the five mini benches, leakage, and the report."""
    from reports.writers.folder import build
    from reports.writers.terminal import terminal_table
    from runners.launch.sweep import plan, run_jobs

    console.print("Tiny model, drawn problems, mini benches: this shows the suite at work, not the paper's result.")
    work = plan("all", "0", "cpu", suite, out, set, True)
    _fail_if(run_jobs(work, jobs or min(2, os.cpu_count() or 1), out / suite / "logs", console))
    page = build(out / suite)
    console.print(terminal_table(out / suite))
    console.print(f"report: {page}", soft_wrap=True)


@app.command(name="list")
def list_runs(root: Annotated[Path, typer.Argument(help="Folder of suites.")] = Path("runs")) -> None:
    """All runs with their status and last figures."""
    from rich.table import Table

    from runners.launch.sweep import status_lines

    table = Table("suite", "method", "seed", "status", "steps", "reward", "leakage", "benches")
    for row in status_lines(root):
        last = row["last"]
        figures = [f"{last[k]:.3f}" if k in last else "" for k in ("reward", "leakage")]
        table.add_row(
            row["suite"], row["label"], str(row["seed"]), row["status"], f"{row['steps_done']}/{row['steps']}",
            *figures, ", ".join(row["benches"]),
        )  # fmt: skip
    console.print(table)


@app.command()
def show(run: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """One run: what it is, its settings, its prompts, its last step and its scores."""

    from runners.run.run_dir import RunDir

    opened = RunDir(run)
    info = opened.info()
    console.print_json(json.dumps(info))
    console.print((opened.path / "settings.yaml").read_text(), markup=False, highlight=False)
    for name in ("prompts.txt",):
        if (opened.path / name).exists():
            console.print((opened.path / name).read_text(), markup=False, highlight=False)
    if rows := files.read_lines(opened.metrics).rows:
        console.print_json(json.dumps(rows[-1]))
    for file in sorted(opened.path.glob("eval/*/*/result.json")):
        result = json.loads(file.read_text())
        console.print(f"{file.parent.parent.name:>5}  {result['bench']:<11} {result['score']}  (n={result['n']})")


@data_app.command(name="filter")
def filter_data(
    out: Annotated[Path, typer.Option(help="Where the kept rows are written: a .parquet, training data again.")],
    data: Annotated[str | None, typer.Option(help="data.source: synthetic, a hub id, a file or folder.")] = None,
    model: Annotated[str | None, typer.Option(help="A checkpoint folder, a hub id, or `embedded`.")] = None,
    k: Annotated[int, typer.Option(help="Rollouts per row.", min=1)] = 4,
    limit: Annotated[int | None, typer.Option(help="Only the first rows.", min=1)] = None,
    keep_max_pass_rate: Annotated[float, typer.Option(help="0 keeps what fails every time.", min=0, max=1)] = 0.0,
    engine: Annotated[str | None, typer.Option(help="transformers or vllm.")] = None,
    temperature: float | None = None,
    max_new_tokens: int | None = None,
    seed: int = 0,
    preset: Preset = "cpu",
    set: Set = [],  # noqa: B006
) -> None:
    """Keep the rows that a model fails, as MMFineReason-123K was made. The same command again resumes."""
    from runners.run.config import resolve

    named = (("data.source", data), ("model.path", model), ("eval.engine", engine))
    sampled = (("eval.temperature", temperature), ("eval.max_new_tokens", max_new_tokens))
    changes = [f"{key}={json.dumps(value)}" for key, value in (*named, *sampled) if value is not None]
    settings = resolve(preset, "base", seed, [*set, *changes])
    _quiet()
    from runners.data.filter import Filter, filter_rows

    asked = Filter(settings, settings.model.path, k, limit, keep_max_pass_rate)
    console.print(filter_rows(asked, out), markup=False, highlight=False, soft_wrap=True)


@app.command()
def base(
    steps: int = 2400,
    seed: int = 0,
    out: Annotated[Path, typer.Option(help="Where to save; the default replaces the embedded model.")] = Path(
        "runners/embedded/base"
    ),
) -> None:
    """Rebuild the embedded base model from nothing (about 40 minutes)."""
    _quiet()
    from runners.embedded.warm_start import warm_start

    for name, value in warm_start(steps, out, seed).items():
        console.print(f"{name:<24} {value}")


def _quiet() -> None:
    """The libraries' own progress bars and advice would bury ours."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def _fail_if(failed: list[str]) -> None:
    for line in failed:
        console.print(line, style="red", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def main() -> None:
    try:
        app(standalone_mode=True)
    except UserError as error:
        from runners.launch.distributed import leave_word

        leave_word(error)
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
