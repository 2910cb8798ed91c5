"""Probing a run's last checkpoint into `eval/<step>/probes.json`."""

from pathlib import Path
from typing import Any

import pandas as pd

from eval.benches import BENCHES
from eval.core import files
from eval.engines.load import loaded_engine
from eval.leakage import DETECTORS
from eval.leakage.price import price
from runners.forward.logprobs import expose_hidden_states
from runners.launch.evaluate import results_of, whole
from runners.probe.probes import PROBES
from runners.probe.subject import Subject
from runners.probe.subject import items as items_of_run
from runners.run import lock
from runners.run.run_dir import BASE_RUN, RunDir


def probe(run: RunDir, names: tuple[str, ...], n: int, samples: int) -> Path:
    """Measure what is asked for; what the file holds besides stays. Raises UserError where somebody works on the run.

    n: items of each kind; samples: replies to each prompt.
    """
    settings = run.settings()
    sampling = settings.evaluation.model_copy(update={"engine": "transformers", "samples": samples, "data_parallel": 1})
    with lock.held(run.lock):
        folder = results_of(run)
        path = folder / "probes.json"
        found: dict[str, Any] = files.read_object(path) or {}
        if names:
            trained, fresh = items_of_run(settings, n)
            most = max((len(item.pictures) for item in (*trained, *fresh)), default=0)
            with (
                whole(run.trained()[1], run.info()["model"]) as model,
                loaded_engine(model, sampling, most) as engine,
            ):
                engine.model.eval()
                expose_hidden_states(engine.model)  # once: each time its layout is checked anew
                subject = Subject(engine, trained, fresh, samples)
                for name in names:
                    chosen = PROBES[name]
                    measured = {key: _plain(value) for key, value in chosen.measure(subject).items()}
                    found[name] = {"label": chosen.label, "unit": chosen.unit, "meaning": chosen.meaning} | measured
        if paid := prices(run, folder):
            found["price"] = paid
        files.write_json(path, found)
        return path


def _plain(value: Any) -> Any:
    return value._asdict() if hasattr(value, "_asdict") else value


def prices(run: RunDir, folder: Path) -> dict[str, Any]:
    """What each detector's leaks cost, where the run and its suite's base were evaluated on the same items."""
    ours = _replies(folder)
    of_base = [_replies(path.parent) for path in run.path.parents[1].glob(f"{BASE_RUN}/seed*/eval/*/leakage.json")]
    if ours is None or not of_base or of_base[0] is None:
        return {}
    base = of_base[0].groupby("item")["right"].mean().to_dict()
    ours = ours[ours["item"].isin(base)]
    right, items, found = ours["right"].tolist(), ours["item"].tolist(), {}
    for name in DETECTORS:
        if name in ours and (cost := price(ours[name].tolist(), right, items, base)):
            found[name] = {key: _plain(value) for key, value in cost._asdict().items()}
    return found


def _replies(folder: Path) -> pd.DataFrame | None:
    """Every graded reply of an evaluation: its item, whether it is right, and by detector whether it leaks."""
    frames = []
    for bench in BENCHES:
        result = files.read_object(folder / bench / "result.json")
        if result is None or not (folder / bench / "samples.parquet").is_file():
            continue
        frame = pd.read_parquet(folder / bench / "samples.parquet", columns=["id", "correct"])
        for name, part in result.get("leakage", {}).items():
            frame[name] = frame.index.isin(part["found"])
        frame["item"] = bench + "/" + frame["id"]
        frames.append(frame[frame["correct"].notna()].assign(right=lambda f: f["correct"].astype(float)))
    return pd.concat(frames, ignore_index=True) if frames else None
