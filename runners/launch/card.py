"""A checkpoint's model card: what it is, how it was made, and what it scored, all read from its run."""

from pathlib import Path
from typing import Any

import yaml

from eval.benches import BENCHES
from eval.core import files
from runners.run.run_dir import RunDir


def write_card(run: RunDir, folder: Path, step: int) -> None:
    """README.md in a checkpoint's folder; written anew when the step has been evaluated."""
    files.write(folder / "README.md", card(run, step))


def card(run: RunDir, step: int) -> str:
    """The text; scores are those of eval/<step>, and it says so where there are none."""
    info = run.info()
    embedded = info["model"] == "embedded"
    head: dict[str, Any] = {
        "base_model": None if embedded else info["model"],
        "license": "apache-2.0" if embedded else "other",
        "pipeline_tag": "image-text-to-text",
        "library_name": "peft" if run.settings().model.lora else "transformers",
        "tags": ["vlm-posttrain-bench", info["method"].partition("@")[0]],
    }
    front = yaml.safe_dump({k: v for k, v in head.items() if v is not None}, sort_keys=False)
    start = "the embedded tiny Qwen3-VL of vlm-posttrain-bench" if embedded else f"`{info['model']}`"
    rights = "Apache-2.0, as its base." if embedded else "That of its base model, whose weights it is made of."
    return f"""---
{front}---
# {info["label"]}, seed {info["seed"]}, step {step} of {info["steps"]}

{start[0].upper() + start[1:]}, trained with {info["label"]} (`{info["method"]}`) on `{info["data"]}`,
preset `{info["preset"]}`, in vlm-posttrain-bench, a comparison of post-training methods at equal terms.

```console
$ {info["command"]}
```

## Scores

{_scores(run, step)}

## Settings

```yaml
{(run.path / "settings.yaml").read_text().rstrip()}
```

## Versions

{", ".join(f"{name} {version}" for name, version in info["versions"].items())}

## Licence

{rights}
"""


def _scores(run: RunDir, step: int) -> str:
    rows = []
    for name, bench in BENCHES.items():
        result = files.read_object(run.path / "eval" / str(step) / name / "result.json")
        if result is not None and result.get("score") is not None:
            error = f" ± {100 * result['stderr']:.1f}" if result.get("stderr") else ""
            cells = f"{100 * result['score']:.1f}{error} | {result['n']} | {result['edition']}"
            rows.append(f"| {bench.label} | {cells} |")
    if not rows:
        return "This step has not been evaluated."
    head = "| Bench | Score, % (± standard error of its items) | n | edition |\n|---|---:|---:|---|"
    mini = "\n\nMini editions are drawn stand-ins; no score on one compares with a published one."
    return "\n".join([head, *rows]) + (mini if any("| mini |" in row for row in rows) else "")
