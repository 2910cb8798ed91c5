"""The settings of a run: one frozen model, unknown keys are errors, precedence defaults < preset < --set."""

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator, model_validator

from eval.benches import chosen
from eval.core.differences import flat
from eval.core.errors import UserError
from eval.settings import EvalSettings

PRESETS = Path(__file__).parent / "presets"
VARIANTS = Path(__file__).parents[2] / "methods" / "variants"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LoraSettings(_Section):
    rank: PositiveInt
    alpha: PositiveInt
    targets: str | tuple[str, ...] = "all-linear"


class ModelSettings(_Section):
    """Which model is trained. `embedded` is the tiny Qwen3-VL of this repository."""

    path: str
    dtype: Literal["float32", "bfloat16"]
    attention: str
    lora: LoraSettings | None = None
    max_pixels: PositiveInt | None = None
    system: str | None = None  # what stands before every prompt, the teachers' too
    thinking: bool | None = None  # the chat template's `enable_thinking`; None leaves it to the template
    template: dict[str, str | int | float | bool] = {}  # further options of the chat template
    teacher: str | None = None  # of methods with an external one: a folder or hub id with the same tokens

    @property
    def template_options(self) -> dict[str, Any]:
        return {**self.template, **({} if self.thinking is None else {"enable_thinking": self.thinking})}


class DataSettings(_Section):
    """Where the prompts come from: `synthetic`, a hub id, or a local file or folder."""

    source: str
    split: str = "train"
    columns: dict[str, str] = {}  # ours -> the source's, where they differ: {solution: trace}
    skip_bad_rows: bool = False


class TrainSettings(_Section):
    """Everything that is held fixed between the methods. Sizes are global; per-device ones are derived."""

    steps: PositiveInt
    prompts: PositiveInt  # per optimizer step, over all devices
    generations: int = Field(ge=2)  # rollouts per prompt
    micro_batch: PositiveInt  # rollouts per forward and device, at most
    processes: PositiveInt
    sharding: Literal["none", "fsdp2"]  # what several processes hold: whole copies (DDP), or shards (as ZeRO-3)
    updates: PositiveInt  # optimizer steps on the rollouts of one generation; 1 is strictly on-policy
    reward: Literal["accuracy", "shaped"]  # 0 or 1, or the official 0.9 accuracy + 0.1 format
    learning_rate: float
    schedule: str
    weight_decay: float
    adam_betas: tuple[float, float]
    max_grad_norm: float
    epsilon: float
    epsilon_high: float
    dual_clip: float | None
    kl: float
    aggregation: Literal["token", "sequence", "constant"]
    scale_rewards: Literal["group", "batch", "none"]
    temperature: float
    top_p: float
    top_k: int
    max_prompt_tokens: PositiveInt
    max_completion_tokens: PositiveInt
    gradient_checkpointing: bool
    shared_prefix: bool = True  # score each prompt and picture once for all its rollouts; false: row by row, as TRL
    vllm: bool
    vllm_memory: float = Field(0.3, gt=0, le=1)  # share of the GPU that the engine takes
    vllm_sleep: bool = False  # whether it gives that back while the policy is trained
    vllm_tensor_parallel: PositiveInt = 1  # processes that share an engine
    vllm_max_difference: float = Field(0.1, gt=0)  # nats a token: where its log-probabilities are further off, it stops
    checkpoint_every: PositiveInt
    record_every: PositiveInt  # steps between token tables
    report_to: tuple[str, ...] = ()

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


class Settings(_Section):
    """One run = preset x method x seed."""

    preset: str
    method: str  # name, name@variant, or path/to/file.py:Class
    seed: int
    params: dict[str, Any] = {}  # of the method; checked by its own dataclass
    model: ModelSettings
    data: DataSettings
    train: TrainSettings
    eval: EvalSettings

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


def load_preset(name: str) -> dict[str, Any]:
    """The keys of a preset, on top of the preset that it says it is a delta to. A path to a YAML file works too."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else PRESETS / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"unknown preset {name!r}: choose one of {', '.join(preset_names())}, or a path to a .yaml")
    try:
        keys = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(keys, dict):
        raise UserError(f"{path} does not hold settings: write keys such as train: {{steps: 10}}")
    base = keys.pop("delta_to", None)
    return merge(load_preset(base), keys) if base else keys


def variant_names(method: str) -> list[str]:
    """The published variants of a method of the registry, without its name."""
    return list(_variants(method))


def _variants(method: str) -> dict[str, Any]:
    path = VARIANTS / f"{method}.yaml"
    return yaml.safe_load(path.read_text()) if path.is_file() else {}


def load_variant(method: str) -> dict[str, Any]:
    """The settings that `name@variant` lays over the preset; none for a plain name."""
    name, at, variant = method.partition("@")
    if not at or ".py:" in method:
        return {}
    found = _variants(name)
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
        node: Any = yaml.safe_load(value)
        for key in reversed(path.split(".")):
            node = {key: node}
        out = merge(out, node)
    return out


def resolve(preset: str, method: str, seed: int, overrides: list[str]) -> Settings:
    """The settings of one run, checked: preset < variant of the method < overrides.

    Raises UserError with the first offending key.
    """
    changes = parse_overrides(overrides)
    keys = merge(merge(load_preset(preset), load_variant(method)), changes)
    return _checked({**keys, "preset": Path(preset).stem, "method": method, "seed": seed}, f"preset {preset}", changes)


def override(settings: Settings, overrides: list[str]) -> Settings:
    """The settings of a run with some keys changed."""
    return _checked(merge(settings.model_dump(mode="json"), parse_overrides(overrides)), "--set", {})


def _checked(keys: dict[str, Any], where: str, changes: dict[str, Any]) -> Settings:
    """`changes` are what --set said: a complaint about one of them names that."""
    try:
        return Settings.model_validate(keys)
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UserError(explain(error, "--set" if key in flat(changes) else where)) from None


def explain(error: ValidationError, where: str, known: Collection[str] = ()) -> str:
    """The first complaint of a validation as one line; an unknown key gets the nearest of `known`."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    unknown = first["type"] in ("extra_forbidden", "unexpected_keyword_argument")
    if not unknown:
        return f"{where}: {key}: {first['msg']}"
    near = difflib.get_close_matches(key, known or _keys(Settings), n=1)
    return f"{where}: unknown key {key!r}" + (f"; did you mean {near[0]}?" if near else "")


def _keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """The dotted keys of all sections."""
    found = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        section = isinstance(kind, type) and issubclass(kind, BaseModel)
        found += _keys(kind, f"{prefix}{name}.") if section else [prefix + name]  # type: ignore[arg-type]
    return found


def dump(settings: Settings) -> str:
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def load(path: Path) -> Settings:
    """Settings as a run keeps them."""
    try:
        return Settings.model_validate(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        raise UserError(f"{explain(error, str(path))}; it was not written by this version") from None
    except (OSError, yaml.YAMLError):
        raise UserError(f"{path} cannot be read: choose another folder, or delete the run") from None
