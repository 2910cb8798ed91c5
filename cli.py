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

from runners.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
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
) -> None:
    """Train one method. The same command again resumes, or does nothing when the run is done."""
    from runners.config import resolve
    from runners.run_dir import RunDir
    from runners.start import open_run
    from runners.sweep import run_name

    settings = resolve(preset, method, seed, set)
    run = RunDir(out / suite / run_name(method) / f"seed{seed}")
    settings, _, found = open_run(settings, run, suite)
    if found != "done":
        _quiet()
        from runners.progress import StepBar
        from runners.train import train as train_run

        with StepBar(console, f"{method} seed {seed}", settings.train.steps) as bar:
            train_run(settings, run, suite, [bar])
    console.print(f"{'already done, nothing to do' if found == 'done' else 'trained'}: {run.path}", soft_wrap=True)
    if then_eval:
        from runners.evaluate import evaluate_run

        console.print(f"results: {evaluate_run(run, settings.eval)}", soft_wrap=True)


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
    from runners.sweep import plan, run_jobs

    _fail_if(run_jobs(plan(methods, seeds, preset, suite, out, set, evaluate), jobs, out / suite / "logs", console))


@app.command(name="eval")
def evaluate(
    bench: Annotated[
        str, typer.Option(help="all, or comma-separated: mmmu, mathvista, mathvision, zerobench, wemath.")
    ] = "all",
    run: Annotated[Path | None, typer.Option(help="A run directory: its last checkpoint is evaluated.")] = None,
    model: Annotated[str | None, typer.Option(help="A checkpoint folder, a hub id, or `embedded`.")] = None,
    data: Annotated[str | None, typer.Option(help="hub, mini, or a file or folder in the official schema.")] = None,
    engine: Annotated[str | None, typer.Option(help="transformers or vllm.")] = None,
    preset: Preset = "cpu",
    out: Annotated[Path | None, typer.Option(help="Result folder (with --model).")] = None,
    set: Set = [],  # noqa: B006
    skip_bad_rows: Annotated[bool, typer.Option(help="Leave out rows whose picture or answer is missing.")] = False,
) -> None:
    """Evaluate a run or a model on the five benches and for leakage. A second call does no work."""
    from eval.settings import ALL_BENCHES
    from runners.config import override, resolve
    from runners.run_dir import RunDir

    if (run is None) == (model is None):
        raise UserError("say what to evaluate: either --run RUN_DIRECTORY or --model CHECKPOINT_FOLDER")
    benches = ALL_BENCHES if bench == "all" else tuple(bench.split(","))
    if unknown := [b for b in benches if b not in ALL_BENCHES]:
        raise UserError(f"unknown bench {unknown[0]!r}: choose from {', '.join(ALL_BENCHES)}, or all")
    changes = [
        f"eval.benches=[{','.join(benches)}]",
        *(f"eval.{k}={json.dumps(v)}" for k, v in (("data", data), ("engine", engine)) if v),
    ]
    _quiet()
    if run is not None:
        from runners.evaluate import evaluate_run

        opened = RunDir(run)
        opened.info()  # says so where the folder is no run
        asked = override(opened.settings(), [*set, *changes]).eval
        console.print(f"results: {evaluate_run(opened, asked, skip_bad_rows)}", soft_wrap=True)
        return
    settings = resolve(preset, "base", 0, [*set, *changes])
    from eval.run import evaluate as evaluate_model
    from runners.model import locate

    source = Path(settings.eval.data).stem
    folder = out or Path("runs") / "eval" / f"{Path(str(model)).name}-{source}-{settings.eval.engine}"
    evaluate_model(locate(str(model)), settings.eval, folder, skip_bad=skip_bad_rows)
    console.print(f"results: {folder}", soft_wrap=True)


@app.command()
def report(
    suite: Annotated[Path, typer.Argument(help="Folder of a suite, for example runs/default.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; default <suite>/report.")] = None,
) -> None:
    """Table 2, training dynamics, leakage and what differs between the runs, as one HTML page and files."""
    from reports.build import build, terminal_table

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
    from reports.build import build, terminal_table
    from runners.sweep import plan, run_jobs

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

    from runners.sweep import status_lines

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

    from runners.run_dir import RunDir

    opened = RunDir(run)
    info = opened.info()
    console.print_json(json.dumps(info))
    console.print((opened.path / "settings.yaml").read_text(), markup=False, highlight=False)
    for name in ("prompts.txt",):
        if (opened.path / name).exists():
            console.print((opened.path / name).read_text(), markup=False, highlight=False)
    if opened.metrics.exists() and (lines := opened.metrics.read_text().splitlines()):
        console.print_json(lines[-1])
    for file in sorted(opened.path.glob("eval/*/*/result.json")):
        result = json.loads(file.read_text())
        console.print(f"{file.parent.parent.name:>5}  {result['bench']:<11} {result['score']}  (n={result['n']})")


@app.command()
def base(
    steps: int = 1300,
    seed: int = 0,
    out: Annotated[Path, typer.Option(help="Where to save; the default replaces the embedded model.")] = Path(
        "runners/base"
    ),
) -> None:
    """Rebuild the embedded base model from nothing (about half an hour on two cores)."""
    _quiet()
    from runners.warm_start import warm_start

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
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
