"""What a GPU says to this suite: kernels, training by every method, memory against the plan, the benchmark of speed.

Run by acceptance.sh. `--device cpu --tiny` rehearses it without a GPU.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from methods import SELF_CONTAINED
from runners.launch.distributed import LAUNCH
from runners.plan.memory import GIB, OVERHEAD, memory
from runners.plan.model_shape import model_shape
from runners.run.config import Settings, resolve
from runners.run.registry import complete
from runners.run.run_dir import RunDir, now
from runners.train import run as train
from runners.train.patches import leave_out_vllm
from tests.gpu.kernels import ALLOWED, kernel_errors
from tests.gpu.measure import Phases
from tests.gpu.random_model import save_model
from tests.support.helpers import History, lottery
from tests.support.paths import ROOT

TORCH = ("2.11", "2.12", "2.13")
NEEDED = {"lm-eval": "lm_eval", "vllm": "vllm", "ray": "ray"}
PATIENCE = 200  # seconds that the sharded part may take
PLAN_IS_RIGHT = 0.15  # of what the plan says of memory
SIZE = ("train.prompts=4", "train.generations=8", "train.max_prompt_tokens=512", "train.max_completion_tokens=96")
TINY = ("train.prompts=2", "train.generations=4", "train.max_prompt_tokens=512", "train.max_completion_tokens=12")
Rows = list[dict[str, Any]]


def settings_of(method: str, model: Path, tiny: bool, *overrides: str) -> Settings:
    """bfloat16, drawn questions, transformers' sampling. A rehearsal computes in float32: CPUs are slow in 16 bits."""
    dtype = "float32" if tiny else "bfloat16"
    fixed = (f"model.path={model}", f"model.dtype={dtype}", "train.learning_rate=1e-6", "train.micro_batch=8")
    return complete(resolve("cpu", method, 0, [*fixed, *(TINY if tiny else SIZE), *overrides]))[0]


def trained(method: str, model: Path, folder: Path, device: str, tiny: bool, *overrides: str) -> dict[str, Any]:
    """Some steps of a method: seconds of its phases, sampled tokens a second, and the peak against the plan's."""
    settings = settings_of(method, model, tiny, *overrides)
    settings, built = complete(settings)
    run, history = RunDir(folder), History()
    run.open(settings, built.label, "acceptance", str(model))
    trainer = train.build_trainer(settings, built, run, [history])
    trainer.args.save_strategy = "no"  # a checkpoint of this size is a test of the disk
    phases, start = Phases(trainer, device), time.perf_counter()
    trainer.train()
    whole = time.perf_counter() - start
    phases.keep_peak()
    steps = len(history.rows)
    row: dict[str, Any] = {"method": method, "settings": list(overrides), "steps": steps}
    row |= {f"{name} s": round(took / steps, 3) for name, took in phases.seconds.items()}
    row["optimizer s"] = round((whole - sum(phases.seconds.values())) / steps, 3)
    row["sampled tokens/s"] = round(phases.tokens / phases.seconds["rollouts"])
    row["loss"], row["grad norm"] = (history.rows[-1][name] for name in ("loss", "grad_norm"))
    row["ok"] = steps == settings.train.steps and all(r["grad_norm"] > 0 for r in history.rows)
    if device == "cuda":
        total = torch.cuda.get_device_properties(0).total_memory
        planned = memory(settings, built, model_shape(settings.model), total).needed - OVERHEAD
        peak = max(phases.peaks.values())
        row |= {"peak GiB": round(peak / GIB, 2), "planned GiB": round(planned / GIB, 2)}
        row["plan is off by"] = round(planned / peak - 1, 3)
        row["ok"] &= abs(planned / peak - 1) <= PLAN_IS_RIGHT
        torch.cuda.empty_cache()
    print(row, flush=True)  # what was measured before a limit of time is not lost
    return row


def kernels(device: str) -> Rows:
    rows = []
    for dtype, allowed in ALLOWED.items():
        errors = kernel_errors(device, dtype)
        fused = bool(errors.pop("fused"))
        words = {name: f"{error:.2g}" for name, error in errors.items()}
        rows.append({"dtype": str(dtype)[6:], "fused": fused, **words, "ok": fused and max(errors.values()) < allowed})
    return rows


def methods(model: Path, folder: Path, device: str, tiny: bool, names: list[str]) -> Rows:
    steps = "train.steps=2" if tiny else "train.steps=5"
    rows = [trained(name, model, folder / name, device, tiny, steps) for name in names]
    parts = ("train.steps=2", f"train.micro_batch={2 if tiny else 4}")  # a group in parts: its prompt's graph waits
    return [*rows, trained(names[-1], model, folder / "parts", device, tiny, *parts)]


def sharded(folder: Path, device: str) -> Rows:
    """FSDP2 on one rank, as `train` would launch it on several. Four layers: writing and hashing 36 GB of checkpoint
    take minutes, and show nothing more."""
    model = folder / "model"
    save_model(model, False, device, layers=4)
    settings = settings_of("rlsd" if "rlsd" in SELF_CONTAINED else next(iter(SELF_CONTAINED)), model, False)
    out = folder / "runs"
    words = ["--method", settings.method, "--out", str(out), "--set", f"model.path={model}"]
    size = (*SIZE, "train.max_completion_tokens=8")  # each token gathers each layer
    sets = [*size, "model.dtype=bfloat16", "train.steps=2", "train.micro_batch=8", "train.sharding=fsdp2"]
    words += [word for pair in sets for word in ("--set", pair)]
    file = str(LAUNCH / "fsdp2.yaml")
    launch = ["-m", "accelerate.commands.launch", "--config_file", file, "--num_processes", "1"]
    start = time.perf_counter()
    command = [sys.executable, *launch, "--main_process_port", "0", str(ROOT / "cli.py"), "train", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as ranks:
        limit = threading.Timer(PATIENCE, ranks.terminate)
        limit.start()
        said = [f"{time.perf_counter() - start:.0f} s: {line.rstrip()}" for line in ranks.stdout or ()]
        limit.cancel()
    took = round(time.perf_counter() - start, 1)
    row: dict[str, Any] = {"what": "FSDP2, one rank, 2 steps and a checkpoint", "seconds": took}
    row["files"] = [f"{file.name} {file.stat().st_size >> 20} MiB" for file in sorted(out.rglob("*.safetensors"))]
    row["ok"] = ranks.returncode == 0
    return [row if row["ok"] else row | {"said": said[-60:]}]


def speed(device: str, out: Path) -> Rows:
    from runners.speed.run import run

    rows = run(device, True, out, lambda line: print(line, flush=True))
    failed = [f"{row}" for row in rows if row.failed]
    row: dict[str, Any] = {"what": "bench speed --quick", "rows": len(rows), "ok": not failed}
    return [row | ({"failed": failed} if failed else {})]


def about(device: str, tiny: bool) -> dict[str, Any]:
    names = ("torch", "transformers", "trl", "accelerate", "peft", "datasets")
    machine = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    versions = {name: importlib.metadata.version(name) for name in names}
    return {
        "date": now(),
        "machine": machine,
        "device": device,
        "tiny": tiny,
        "python": platform.python_version(),
    } | versions


def skipped(device: str) -> list[str]:
    """By name, what does not run here, and why."""
    said = [
        f"what needs {name}: it is not installed"
        for name, module in NEEDED.items()
        if not importlib.util.find_spec(module)
    ]
    if not torch.__version__.startswith(TORCH):
        said.append(f"torch {torch.__version__} is none of {', '.join(TORCH)}: what follows says nothing of those")
    if device != "cuda":
        said.append("FSDP2 on one rank, memory against the plan: they need a CUDA device")
    return said


def markdown(report: dict[str, Any]) -> str:
    lines = ["# Acceptance", "", ", ".join(f"{k} {v}" for k, v in report["about"].items()), ""]
    lines += [f"Skipped: {line}." for line in report["skipped"]]
    for name, part in report["parts"].items():
        lines += ["", f"## {name}: {'ok' if part['ok'] else 'FAILED'}, {part['seconds']} s", ""]
        rows: Rows = part["rows"]
        keys = list(dict.fromkeys(key for row in rows for key in row))
        lines += [f"| {' | '.join(keys)} |", f"|{'---|' * len(keys)}"] if rows else []
        lines += [f"| {' | '.join(str(row.get(key, '')) for key in keys)} |" for row in rows]
        lines += ["```", part["error"], "```"] if "error" in part else []
    return "\n".join([*lines, "", f"{'ok' if report['ok'] else 'FAILED'} in {report['seconds']} s", ""])


def accept(device: str, tiny: bool, out: Path, names: list[str], with_speed: bool) -> dict[str, Any]:
    """Everything, each part whatever becomes of the others; acceptance.json and .md are written after each."""
    begun, report = time.perf_counter(), {"about": about(device, tiny), "skipped": skipped(device)}
    parts: dict[str, Any] = {}
    train.REWARDS["accuracy"] = {lottery: 1.0}  # a random model is never right, and learns from differences alone
    with tempfile.TemporaryDirectory() as scratch:
        folder, model = Path(scratch), Path(scratch) / "model"
        todo: dict[str, Callable[[], Rows]] = {"kernels": lambda: kernels(device)}
        todo["model"] = lambda: save_model(model, tiny, device) or []  # type: ignore[func-returns-value]
        todo["methods"] = lambda: methods(model, folder, device, tiny, names)
        if with_speed:
            todo["speed"] = lambda: speed(device, out)
        if device == "cuda":
            todo["sharded"] = lambda: sharded(folder / "sharded", device)
        for name, work in todo.items():
            print(f"== {name}", flush=True)
            start = time.perf_counter()
            try:
                rows = work()
                parts[name] = {"ok": all(row["ok"] for row in rows), "rows": rows}
            except Exception:
                parts[name] = {"ok": False, "rows": [], "error": traceback.format_exc()[-3000:]}
            parts[name]["seconds"] = round(time.perf_counter() - start, 1)
            whole = {**report, "parts": parts, "ok": all(part["ok"] for part in parts.values())}
            whole["seconds"] = round(time.perf_counter() - begun, 1)
            out.mkdir(parents=True, exist_ok=True)
            (out / "acceptance.json").write_text(json.dumps(whole, indent=1) + "\n")
            (out / "acceptance.md").write_text(markdown(whole))
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true", help="a model of some thousand weights: a rehearsal")
    parser.add_argument("--out", type=Path, default=Path("acceptance"), help="folder of acceptance.json and .md")
    parser.add_argument("--methods", default=",".join(SELF_CONTAINED))
    parser.add_argument("--no-speed", action="store_true", help="without `bench speed --quick`")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch sees no GPU here; --device cpu --tiny rehearses")
    leave_out_vllm()
    report = accept(given.device, given.tiny, given.out, given.methods.split(","), not given.no_speed)
    print(markdown(report))
    sys.exit(0 if report["ok"] else 1)


if __name__ == "__main__":
    main()
