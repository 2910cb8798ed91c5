"""The settings of a run: one frozen model, unknown keys are errors, precedence defaults < preset < --set."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from eval.benches import chosen
from eval.core.errors import UserError
from eval.settings import LARGEST, Chat, Count, EvalSettings, Seed, SettingsSection, TopK, TopP

PRESETS = Path(__file__).parent / "presets"
SUITES = Path(__file__).parents[1] / "suites"  # presets with a part `suite`: runners/launch/suite_file.py
VARIANTS = Path(__file__).parents[2] / "methods" / "variants"


NotNegative = Annotated[float, Field(ge=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]  # of an average
OPTIONS = {"preset": "--preset", "method": "--method", "seed": "--seed"}  # are part of the settings, and set otherwise


class LoraSettings(SettingsSection):
    rank: Count
    alpha: Count
    targets: str | tuple[str, ...] = "all-linear"


class ModelSettings(Chat):
    """Which model is trained. `embedded` is the tiny Qwen3-VL of this repository."""

    path: str
    dtype: Literal["float32", "bfloat16"]
    attention: Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"]
    lora: LoraSettings | None = None
    max_pixels: Count | None = None
    teacher: str | None = None  # of methods with an external one: a folder or hub id with the same tokens


class DataSettings(SettingsSection):
    """Where the prompts come from: `synthetic`, a hub id, or a local file or folder."""

    source: str
    split: str = "train"
    columns: dict[str, str] = {}  # ours -> the source's, or a path in it: {answer: reward_model.ground_truth}
    # Leakage probes (docs/leakage.md): shares of the items whose teachers are told a random code, or a wrong answer.
    canaries: float = Field(default=0, ge=0, le=1)
    wrong_references: float = Field(default=0, ge=0, le=1)
    skip_bad_rows: bool = False
    allow_outside: bool = False  # whether rows may name pictures outside the data's folder
    rows: Count | None = None  # as many at most, again and again: an epoch that ends


class TrainSettings(SettingsSection):
    """Everything that is held fixed between the methods. Sizes are global; per-device ones are derived."""

    steps: Count
    prompts: Count  # per optimizer step, over all devices
    generations: int = Field(ge=2, le=LARGEST)  # rollouts per prompt
    micro_batch: Count  # rollouts per forward and device, at most
    processes: Count
    sharding: Literal["none", "fsdp2"]  # what several processes hold: whole copies (DDP), or shards (as ZeRO-3)
    updates: Count  # optimizer steps on the rollouts of one generation; 1 is strictly on-policy
    reward: Literal["accuracy", "shaped"]  # 0 or 1, or the official 0.9 accuracy + 0.1 format
    learning_rate: NotNegative  # 0 moves nothing: a control
    schedule: Literal["constant", "linear", "cosine", "polynomial", "inverse_sqrt"]
    weight_decay: NotNegative
    adam_betas: tuple[Decay, Decay]
    max_grad_norm: NotNegative  # 0 clips nothing
    epsilon: NotNegative
    epsilon_high: NotNegative
    dual_clip: float | None = Field(gt=1)
    kl: NotNegative
    aggregation: Literal["token", "sequence", "constant"]
    scale_rewards: Literal["group", "batch", "none"]
    temperature: float = Field(gt=0)
    top_p: TopP
    top_k: TopK
    max_prompt_tokens: Count
    max_completion_tokens: Count
    gradient_checkpointing: bool
    shared_prefix: bool = True  # score each prompt and picture once for all its rollouts; false: row by row, as TRL
    vllm: bool
    vllm_memory: float = Field(0.3, gt=0, le=1)  # share of the GPU that the engine takes
    vllm_sleep: bool = False  # whether it gives that back while the policy is trained
    vllm_tensor_parallel: Count = 1  # processes that share an engine
    vllm_max_difference: float = Field(0.1, gt=0)  # nats a token: where its log-probabilities are further off, it stops
    checkpoint_every: Count
    record_every: Count  # steps between token tables
    report_to: tuple[Literal["comet_ml", "mlflow", "swanlab", "tensorboard", "trackio", "wandb"], ...] = ()

    @property
    def device_batch(self) -> int:
        """Rollouts per forward and device."""
        return min(self.micro_batch, self.prompts * self.generations // (self.processes * self.updates))

    @property
    def shards(self) -> int:
        """Processes that weights, gradients, optimizer and teacher are divided among."""
        return self.processes if self.sharding == "fsdp2" else 1

    @model_validator(mode="after")
    def _rollouts_divide(self) -> "TrainSettings":
        rollouts, parts = self.prompts * self.generations, self.processes * self.updates
        if self.processes % self.vllm_tensor_parallel:
            raise ValueError(
                f"vllm_tensor_parallel={self.vllm_tensor_parallel} does not divide {self.processes} process(es)"
            )
        if rollouts % (parts * self.device_batch or rollouts + 1):
            raise ValueError(
                f"{self.prompts} prompts x {self.generations} generations do not divide into {self.processes} "
                f"process(es) x {self.updates} update(s) x micro_batch {self.micro_batch}"
            )
        return self


class Settings(SettingsSection):
    """One run = preset x method x seed."""

    preset: str
    method: str  # name, name@variant, or path/to/file.py:Class
    seed: Seed
    params: dict[str, Any] = {}  # of the method; checked by its own dataclass
    model: ModelSettings
    data: DataSettings
    train: TrainSettings
    eval: EvalSettings

    @property
    def evaluation(self) -> EvalSettings:
        """`eval`, with what stands around every prompt in training."""
        chat = self.eval.chat or Chat.model_validate(self.model.model_dump(include={*Chat.model_fields}))
        return self.eval.model_copy(update={"chat": chat})

    @field_validator("eval")
    @classmethod
    def _names_its_benches(cls, settings: EvalSettings) -> EvalSettings:
        """`all` is spelt out, so that a run says what it is evaluated on; raises UserError for an unknown one."""
        try:
            chosen(settings.splits)
            return settings.model_copy(update={"benches": chosen(settings.benches)})
        except UserError as error:
            raise UserError(f"eval.benches or eval.splits: {error}") from None


def preset_names() -> list[str]:
    return sorted(p.stem for p in PRESETS.glob("*.yaml"))


def load_preset(name: str, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The keys of a preset, on top of the preset that it says it is a delta to. A path to a YAML file works too.

    `above`: the presets that are a delta to this one.
    """
    path, keys = _read_preset(name)
    if path.resolve() in above:
        raise UserError(f"preset {name!r} is a delta to itself: end the circle of delta_to with cpu, lora or paper")
    keys.pop("suite", None)
    base = keys.pop("delta_to", None)
    if not isinstance(base, str | None):
        raise UserError(f"{path}: delta_to is the name of one preset, and not {str(base)[:80]!r}")
    return merge(load_preset(base, (*above, path.resolve())), keys) if base else keys


def suite_part(name: str) -> dict[str, Any]:
    """What a preset's file says of a suite of runs: see runners/launch/suite_file.py. Empty where it says nothing."""
    part = _read_preset(name)[1].get("suite") or {}
    if not isinstance(part, dict):
        raise UserError(f"{name}: suite holds keys, and not {str(part)[:80]!r}")
    return part


def _read_preset(name: str) -> tuple[Path, dict[str, Any]]:
    named = [folder / f"{name}.yaml" for folder in (PRESETS, SUITES)]
    path = Path(name) if name.endswith((".yaml", ".yml")) else next(filter(Path.is_file, named), named[0])
    if not path.is_file():
        raise UserError(f"unknown preset {name!r}: choose one of {', '.join(preset_names())}, or a path to a .yaml")
    if not isinstance(keys := read_yaml(path), dict):
        raise UserError(f"{path} does not hold settings: write keys such as train: {{steps: 10}}")
    return path, keys


def read_yaml(source: Path | str, where: str = "") -> Any:
    """What a file of YAML holds, or a text, which the message calls `where`. Raises UserError in one line."""
    try:
        return yaml.safe_load(source.read_text(encoding="utf-8") if isinstance(source, Path) else source)
    except OSError as error:
        raise UserError(f"{source} cannot be read ({error.strerror}): mend its rights") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"{where or source} is not YAML: {' '.join(problem.split())[:200]}") from None


def variants(method: str) -> dict[str, Any]:
    """The published variants of a method of the registry, by their name without the method's."""
    path = VARIANTS / f"{method}.yaml"
    return yaml.safe_load(path.read_text()) if path.is_file() else {}


def load_variant(method: str, preset: str = "cpu") -> dict[str, Any]:
    """The settings that `name@variant` lays over the preset, which may bring variants of its own; none for a plain
    name."""
    name, at, variant = method.partition("@")
    if not at or ".py:" in method:
        return {}
    found = variants(name) | suite_part(preset).get("variants", {}).get(name, {})
    if variant not in found:
        choice = ", ".join(f"{name}@{v}" for v in found) or f"{name} has none"
        raise UserError(f"unknown variant {method!r}: choose one of {choice}")
    keys: dict[str, Any] = found[variant]
    return keys


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        out[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """`train.steps=10` as nested keys; the value is read as YAML."""
    out: dict[str, Any] = {}
    for pair in pairs:
        path, equals, value = pair.partition("=")
        if not equals or not path:
            raise UserError(f"--set {pair!r}: write it as key=value, for example train.steps=10")
        if path in OPTIONS:
            raise UserError(f"--set {path}: give it as {OPTIONS[path]}")
        node: Any = read_yaml(value, f"the value in --set {path}")
        for key in reversed(path.split(".")):
            node = {key: node}
        out = merge(out, node)
    return out


def resolve(preset: str, method: str, seed: int, overrides: list[str]) -> Settings:
    """The settings of one run, checked: preset < variant of the method < overrides.

    Raises UserError with the first offending key, and where it was given.
    """
    sources = {
        f"preset {preset}": load_preset(preset),
        method: load_variant(method, preset),
        "--set": parse_overrides(overrides),
    }
    for where, keys in sources.items():
        if taken := sorted(OPTIONS.keys() & keys.keys()):
            raise UserError(f"{where}: {taken[0]} is given as {OPTIONS[taken[0]]}")
    return _checked(sources, {"preset": Path(preset).stem, "method": method, "seed": seed})


def override(settings: Settings, overrides: list[str]) -> Settings:
    """The settings of a run with some keys changed."""
    return _checked({"the run": settings.model_dump(mode="json"), "--set": parse_overrides(overrides)}, {})


def _checked(sources: Mapping[str, dict[str, Any]], more: dict[str, Any]) -> Settings:
    """`sources`: the later one wins; the message names the last that holds the offending key."""
    keys: dict[str, Any] = {}
    for of_source in sources.values():
        keys = merge(keys, of_source)
    try:
        return Settings.model_validate({**keys, **more})
    except ValidationError as error:
        path = error.errors()[0]["loc"]
        where = max(sources, key=lambda name: (_depth(sources[name], path), list(sources).index(name)))
        raise UserError(explain(error, where if path[:1] != ("seed",) else "--seed", dotted(Settings))) from None


def _depth(keys: Any, path: Sequence[int | str]) -> int:
    """How far a path of keys leads into them."""
    for depth, key in enumerate(path):
        if not isinstance(keys, dict) or key not in keys:
            return depth
        keys = keys[key]
    return len(path)


def dotted(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The names of all settings."""
    for name, field in kind.model_fields.items():
        parts = (field.annotation, *getattr(field.annotation, "__args__", ()))
        sections = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        yield from dotted(sections[0], f"{prefix}{name}.") if sections else [f"{prefix}{name}"]


def explain(error: ValidationError, where: str, known: Iterable[str] = ()) -> str:
    """The first complaint of a validation as one line; an unknown key with the one of `known` that is most like it."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] not in ("extra_forbidden", "unexpected_keyword_argument"):
        return " ".join(f"{where}: {key}: {first['msg']}".split())
    names = list(known)
    same = [name for name in names if name.rpartition(".")[2] == key.rpartition(".")[2]]
    like = same or get_close_matches(key, names, 1, 0.5)
    return f"{where}: unknown key {key[:80]!r}" + (f", did you mean {like[0]}?" if like else "")


def dump(settings: Settings) -> str:
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def load(path: Path) -> Settings:
    """Settings as a run keeps them."""
    try:
        return Settings.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError(f"{explain(error, str(path))}; it was not written by this version") from None
