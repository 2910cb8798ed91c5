"""A made-up suite with known numbers, in the layout that training and evaluation write."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from methods import METHODS
from methods.grpo import GRPO
from reports.suite.paper import LABELS
from runners.run.metrics import declared

N = {"mmmu": 60, "mathvista": 64, "mathvision": 50, "zerobench": 40, "wemath": 36}
REPLIES = sum(N.values()) + 2 * N["wemath"]  # a problem of We-Math has three rows here
CORRECT = {  # by method: right answers a bench, out of N
    "base": (30, 32, 20, 4, 9),
    "grpo": (36, 40, 25, 6, 18),
    "opsd": (24, 30, 20, 2, 9),
    "sdpo": (33, 32, 22, 8, 12),
    "grpo_opsd": (34, 36, 21, 5, 15),
    "rlsd": (39, 44, 30, 7, 18),
}
GENERATION = {
    "engine": "transformers",
    "temperature": 0.7,
    "top_p": 0.8,
    "max_new_tokens": 96,
    "seed": 0,
}


def build(suite: Path, out: Path | None = None) -> Path:
    """As `cli.py report`; returns the page."""
    from reports.writers import contents, folder  # what only writes runs can do without

    place = out or suite / "report"
    folder.refuse_foreign(place)
    return folder.write(contents.collect(suite), place)


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def result(bench: str, k: int, **changes: Any) -> dict[str, Any]:
    """A result.json with k right answers and the binomial standard error."""
    n = N[bench]
    p = k / n
    return {
        "bench": bench,
        "edition": "mini",
        "score": p,
        "stderr": math.sqrt(p * (1 - p) / n),
        "n": n,
        "unit": "items",
        "scores": {"strict": p, "loose": min(1.0, p + 0.1), "strict/CM": p} if bench == "wemath" else {},
        "identity": {"data_id": f"{bench}-mini"},
        "parsed": 0.95,
        "truncated": 0.02,
        "rule": "default",
        "task_version": "1",
        "grader_version": "1",
        "generation": GENERATION,
        "model": "runners/embedded/base",
        "step": 0,
        "versions": {"torch": "2.13.0"},
        "seconds": 4.0,
        **changes,
    }


def write_run(suite: Path, method: str, seed: int = 0, steps: int = 60, **record: Any) -> Path:
    """run.json, settings.yaml and metrics.jsonl of a finished run."""
    run = suite / method / f"seed{seed}"
    steps = 0 if method == "base" else steps
    info = {
        "method": method,
        "label": LABELS.get(method, method),
        "seed": seed,
        "suite": suite.name,
        "preset": "cpu",
        "status": "done",
        "steps_done": steps,
        "steps": steps,
        "model": "runners/embedded/base",
        "data": "synthetic",
        "versions": {"torch": "2.13.0", "trl": "1.16.0"},
        "command": f"cli.py train --method {method} --seed {seed}",
        "started": "2026-11-01T10:00:00+00:00",
        "finished": "2026-11-01T10:02:00+00:00",
        "metrics": declared(METHODS.get(method, GRPO)()),
    }
    write_json(run / "run.json", info | record)
    if method != "base":
        params = {"lambda_steps": 50} if method == "rlsd" else {}
        settings = {"preset": "cpu", "method": method, "seed": seed, "params": params, "train": {"learning_rate": 5e-5}}
        (run / "settings.yaml").write_text(yaml.safe_dump(settings))
        lines = [json.dumps(metrics_row(method, seed, step, steps)) for step in range(1, steps + 1)]
        (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return run


def metrics_row(method: str, seed: int, step: int, steps: int) -> dict[str, float]:
    """Smooth curves with a ripple; OPSD's leakage rises and its reward falls, as the spec has seen."""
    shift = 0.1 * list(LABELS).index(method) if method in LABELS else 0.0
    x, ripple = step / steps, 0.03 * math.sin(2.7 * step + 5 * seed + 40 * shift)
    leaks = method in ("opsd", "grpo_opsd")
    row = {
        "step": step,
        "reward": 0.35 + (-0.15 if method == "opsd" else 0.2 + shift / 2) * x + ripple,
        "entropy": 0.4 - (0.1 + shift / 2) * x + ripple / 3,
        "length": 50 + 20 * shift * x + 40 * ripple,
        "leakage": max(0.0, shift * leaks * x + ripple * leaks),
        "truncated": 0.01,
    }
    if method != "grpo":
        row["gap"] = 0.2 - (0.05 + shift / 5) * x + ripple / 2
    if method == "rlsd":
        row |= {"lambda": max(0.0, 0.5 * (1 - step / 50)), "clip_rate": 0.05 + ripple / 2}
    return row


def write_eval(run: Path, step: int, correct: tuple[int, ...], leaks: int = 0, **changes: Any) -> None:
    """Five results, their samples and leakage.json; the first `leaks` MMMU replies mention a reference."""
    for bench, k in zip(N, correct, strict=True):
        finds = {"found": list(range(leaks if bench == "mmmu" else 0)), "n": 0, "phrases": {}}
        made = result(bench, k, step=step, leakage={"mention": finds}, **changes)
        write_json(run / "eval" / str(step) / bench / "result.json", made)
        frame = _samples(bench, k)
        if bench == "mmmu":
            said = "First count.\n<script>alert(1)</script> The Reference  answer is 7, so \\boxed{7}"
            frame.loc[frame.index < leaks, "reply"] = said
        frame.to_parquet(run / "eval" / str(step) / bench / "samples.parquet")
    leakage = {
        "label": "mention a reference they never saw",
        "meaning": "Searched for <phrases>.",
        "rate": leaks / REPLIES,
        "stderr": math.sqrt(leaks / REPLIES * (1 - leaks / REPLIES) / REPLIES),
        "n": REPLIES,
        "per_bench": {},
        "phrases": {"reference answer": leaks} if leaks else {},
    }
    write_json(run / "eval" / str(step) / "leakage.json", {"mention": leakage})


def _samples(bench: str, k: int) -> pd.DataFrame:
    """Lines of samples.parquet: the first k units are right, of We-Math's problems every row."""
    parts = ("/2steps_1", "/2steps_2", "/2steps_multi") if bench == "wemath" else ("",)
    units = [(f"{bench}-{i}", i < k) for i in range(N[bench]) for _ in parts]
    return pd.DataFrame(
        {
            "id": [f"{bench}-{i}{part}" for i in range(N[bench]) for part in parts],
            "sample": 0,
            "cluster": [unit for unit, _ in units],
            "reply": "Count the stars.\n\\boxed{4}",
            "correct": [right for _, right in units],
        }
    )


def write_measured(suite: Path) -> None:
    """What `cli.py probe` leaves beside OPSD's run, and `cli.py credit` beside RLSD's."""

    def measured(value: float | None, stderr: float | None, n: int) -> dict[str, Any]:
        return {"value": value, "stderr": stderr, "n": n}

    canary = {"label": "Canary exposure", "unit": "bits", "meaning": "How far up.", "value": measured(2.5, 0.25, 8)}
    gap = {"label": "Told-untold gap", "unit": "accuracy", "meaning": "Left.", "value": measured(-0.125, None, 1)}
    write_json(suite / "opsd/seed0/eval/60/probes.json", {"canary": canary, "told_gap": gap, "price": {"mention": {}}})
    found = {"auc": measured(0.75, 0.05, 14), "share": measured(None, None, 0), "base": measured(0.132, 0.0, 10)}
    by_checkpoint = {"60": {"rlsd": found, "mine": found | {"auc_permuted": measured(0.5, 0.02, 14)}}}
    write_json(suite / "rlsd/seed0/credit/localisation.json", by_checkpoint)


def write_suite(suite: Path) -> Path:
    """Six finished, evaluated rows, one seed each; OPSD leaks in 30 of 322 replies, and is probed."""
    for method, correct in CORRECT.items():
        step, leaks = (0 if method == "base" else 60), (30 if method == "opsd" else 0)
        write_eval(write_run(suite, method), step, correct, leaks)
    write_measured(suite)
    return suite
