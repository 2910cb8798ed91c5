"""Compare post-training methods of vision-language models: train, evaluate, report."""

# A room with commands of its own declares them in its `command.py`. Every command imports what it needs inside, so that
# `--help` is instant.

# ruff: noqa: E402

import sys

# Where PYTHONDONTWRITEBYTECODE is set (containers), every process would compile 7,600 modules again, 20 s of CPU.
sys.dont_write_bytecode = False

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from typer.exceptions import TyperException

from eval.benches import BENCHES, split
from eval.core.errors import UserError
from eval.core.terminal import console, plain, say
from reports.writers.command import claims, compare, paper, replies, report, write_report
from runners.check.command import doctor, methods, watch
from runners.credit.command import credit
from runners.data.command import data_app
from runners.embedded.command import base, exact
from runners.probe.command import probe
from runners.run.options import Jobs, Out, Preset, Set, Suite, sets
from runners.speed.command import bench_app
from runners.theory.command import theory

if TYPE_CHECKING:
    from runners.launch.job import Job

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(data_app, name="data")
app.add_typer(bench_app, name="bench")


def _version(asked: bool) -> None:
    if asked:
        import tomllib

        project = tomllib.loads((Path(__file__).parent / "pyproject.toml").read_text())["project"]
        say(f"{project['name']} {project['version']}")
        raise typer.Exit()


@app.callback()
def before_any_command(
    version: Annotated[
        bool, typer.Option("--version", help="Say the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options of no command."""


@app.command()
def train(
    method: Annotated[str, typer.Option(help="grpo, opd, opsd, sdpo, grpo_opsd, rlsd, or path/to/file.py:Class.")],
    preset: Preset = "cpu",
    seed: int = 0,
    suite: Suite = "default",
    out: Out = Path("runs"),
    set: Set = [],  # noqa: B006
    then_eval: Annotated[bool, typer.Option("--eval/--no-eval", help="Evaluate the trained model as well.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, as `plan` does.")] = False,
) -> None:
    """Train one method. The same command again resumes, or does nothing when the run is done."""
    if dry_run:
        return plan_run(method, preset, seed, set)
    from runners.launch.distributed import relaunch
    from runners.run.config import resolve
    from runners.run.interrupt import told_step
    from runners.run.open import opened
    from runners.run.run_dir import run_of
    from runners.run.world import is_launched

    run = run_of(out, suite, method, seed)
    with told_step(run.last_step):
        with opened(resolve(preset, method, seed, set), run, suite) as (settings, _, found):
            if (here := settings.train.processes == 1 or is_launched()) and found != "done":
                from runners.train.patches import leave_out_vllm

                leave_out_vllm(unless=settings.train.vllm)
                from runners.train.callbacks import StepBar
                from runners.train.run import train as train_run

                steps, updates = settings.train.steps, settings.train.updates
                with StepBar(console, f"{method} seed {seed}", steps, updates) as bar:
                    train_run(settings, run, suite, [bar])
        if found != "done" and not here:  # the first of the children holds the run; they only train
            relaunch(settings, run, [a for a in sys.argv[1:] if a not in ("--eval", "--no-eval")])
        if is_launched():
            return
        say(f"{'already done, nothing to do' if found == 'done' else 'trained'}: {run.path}")
        if then_eval:
            from runners.launch.evaluate import evaluate_run

            say(f"results: {evaluate_run(run, settings.evaluation)}")


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
    from runners.launch.distributed import shown_commands
    from runners.plan.plan import make_plan
    from runners.plan.table import tables

    console.print(tables(make_plan(settings, built, gpu_memory, mfu), settings, mfu))
    for line in shown_commands(settings, preset, set):
        say(line)


@app.command()
def sweep(
    methods: Annotated[str, typer.Option(help="Comma-separated; `all` is every method of the registry.")] = "all",
    seeds: Annotated[str, typer.Option(help="Comma-separated.")] = "0",
    preset: Preset = "cpu",
    suite: Suite = "default",
    out: Out = Path("runs"),
    set: Set = [],  # noqa: B006
    jobs: Jobs = 1,
    evaluate: Annotated[bool, typer.Option("--eval/--no-eval", help="Evaluate each run, and the base.")] = True,
    suite_file: Annotated[
        str | None, typer.Option(help="Methods, seeds, settings from a file: a name of runners/suites, or a path.")
    ] = None,
) -> None:
    """Train (and evaluate) methods x seeds. Skips what is done, resumes what is half done."""
    from runners.launch import suite_file as files
    from runners.launch.sweep import plan

    if suite_file is not None:
        work = files.plan(suite_file, out, set, evaluate)
        say(files.estimate(suite_file, work, jobs))
        return _run_jobs(work, jobs, out / Path(suite_file).stem)
    _run_jobs(plan(methods, seeds, preset, suite, out, set, evaluate), jobs, out / suite)
    list_runs(out / suite)
    say(f"Next: cli.py report {out / suite}" if evaluate else "Next: cli.py eval --run <run>")


@app.command(name="eval")
def evaluate(
    bench: Annotated[
        str, typer.Option(help=f"all, or comma-separated: {', '.join(BENCHES)}; lm-eval's own tasks, e.g. gsm8k.")
    ] = "all",
    run: Annotated[Path | None, typer.Option(help="A run directory: its last checkpoint is evaluated.")] = None,
    at: Annotated[str | None, typer.Option(help="With --run: all kept steps, or 10,20 (see eval.every).")] = None,
    model: Annotated[str | None, typer.Option(help="A checkpoint folder, a hub id, or `embedded`.")] = None,
    data: Annotated[str | None, typer.Option(help="hub, mini, or a file or folder in the official schema.")] = None,
    engine: Annotated[str | None, typer.Option(help="transformers or vllm.")] = None,
    preset: Preset = "cpu",
    out: Annotated[Path | None, typer.Option(help="Result folder (with --model).")] = None,
    set: Set = [],  # noqa: B006
    skip_bad_rows: Annotated[bool, typer.Option(help="Leave out rows whose picture or answer is missing.")] = False,
    regrade: Annotated[
        bool, typer.Option("--regrade", help="Grade the stored replies and look for leaks again, without a model.")
    ] = False,
) -> None:
    """Evaluate a run or a model on the five benches and for leakage. A second call does no work."""
    from runners.launch.evaluate import evaluate_model, evaluate_run, model_results, regrade_run
    from runners.run.config import override, resolve
    from runners.run.run_dir import RunDir

    if (run is None) == (model is None):
        raise UserError("say what to evaluate: either --run RUN_DIRECTORY or --model CHECKPOINT_FOLDER")
    if given := "--out" if run and out else "--at" if model and at else None:
        raise UserError(f"{given} goes with {'--model' if run else '--run'}: a run's results lie in the run")
    ours, tasks = split(bench.split(","))
    changes = [*set, *sets({"eval.benches": ours, "eval.tasks": tasks})]
    changes += sets({"eval.data": data or None, "eval.engine": engine or None})
    if run is not None:
        opened = RunDir(run)
        opened.info()  # says so where the folder is no run
        settings = override(opened.settings(), changes).evaluation
    else:
        settings = resolve(preset, "base", 0, changes).evaluation
        folder = out or model_results(str(model), settings)
    if regrade and run is not None:
        regrade_run(opened, settings, at)
    elif regrade:
        from eval.pipeline.regrade import regrade as regrade_stored

        regrade_stored(folder, settings.benches, settings.data)
    elif run is not None:
        say(f"results: {evaluate_run(opened, settings, skip_bad_rows, at)}")
    else:
        say(f"results: {evaluate_model(str(model), settings, folder, skip_bad_rows)}")


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
    say(grade_replies(bench, data, replies, rule, out))


for command in (report, compare, replies, paper, claims, probe, theory, credit, methods, watch, doctor):
    app.command()(command)


@app.command()
def demo(
    out: Out = Path("runs"),
    suite: Suite = "demo",
    set: Set = [],  # noqa: B006
    jobs: Jobs = 0,
) -> None:
    """All five methods on the embedded model, six rows on the five mini benches, leakage, and the report."""
    from runners.launch.sweep import plan

    say("Tiny model, drawn problems, mini benches: this shows the suite at work, not the paper's result.")
    _run_jobs(plan("all", "0", "cpu", suite, out, set, True), jobs, out / suite)
    write_report(out / suite)


@app.command(name="list")
def list_runs(root: Annotated[Path, typer.Argument(help="Folder of suites.")] = Path("runs")) -> None:
    """All runs with their status and last figures."""
    from runners.run.listing import table

    console.print(table(root))


@app.command()
def show(run: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """One run: what it is, its settings, its prompts, its last step and its scores."""
    from runners.run import listing
    from runners.run.run_dir import RunDir

    listing.show(RunDir(run), console)


app.command()(base)
app.command()(exact)


def _run_jobs(work: "list[Job]", parallel: int, folder: Path) -> None:
    from runners.launch.local import Local
    from runners.launch.sweep import run_jobs

    # Of five jobs of one length the last would leave one of two cores idle.
    failed = run_jobs(work, parallel or min(3, (os.cpu_count() or 1) + 1), Local(folder / "logs"), console)
    for line in failed:
        console.print(plain(line), style="red", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _quiet() -> None:
    """The libraries' own progress bars and advice would bury ours."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def main() -> None:
    from eval.core import child
    from runners.run.interrupt import Interrupted, interruptible
    from runners.run.world import is_launched

    if is_launched():
        child.end_with_parent()
    _quiet()
    try:
        with interruptible():
            sys.exit(app(standalone_mode=False))
    except TyperException as error:  # in one line, and not in a box
        said = error.format_message()
        _end(f"error: {said}" if said else "", 2)
    except UserError as error:
        child.leave_word(error)
        _end(f"error: {error}", 2)
    except Interrupted as error:
        _end(error.line, error.exit_code)


def _end(line: str, code: int) -> None:
    console = Console(stderr=True, soft_wrap=True, markup=False, emoji=False, highlight=False)
    console.print(plain(" ".join(line.split())), style="red")
    sys.exit(code)


if __name__ == "__main__":
    main()
