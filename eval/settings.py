"""What an evaluation is asked to do. Part of a run's settings; importing it costs nothing but pydantic."""

from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

LARGEST = 2**31 - 1  # of a count: what libraries keep them in
Count = Annotated[int, Field(gt=0, le=LARGEST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # as numpy takes it
TopP = Annotated[float, Field(gt=0, le=1)]
TopK = Annotated[int, Field(ge=0, le=LARGEST)]  # 0 keeps every token


class SettingsSection(BaseModel):
    """Frozen, without unknown keys, numbers that are not finite, and text that no file could be called."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        """`true` is no number, whatever Python thinks."""
        wanted = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and bool not in (wanted, *get_args(wanted)):
            raise ValueError("true and false are no values of it")
        if isinstance(value, str) and not value.replace("\n", "").replace("\t", "").isprintable():
            raise ValueError("it holds characters that cannot be printed")
        return value


class Chat(SettingsSection):
    """What stands around every prompt, in training as in evaluation."""

    system: str | None = None  # what stands before it, and before the teachers' too
    thinking: bool | None = None  # the chat template's `enable_thinking`; None leaves it to the template
    template: dict[str, str | int | float | bool] = {}  # further options of the chat template

    @property
    def template_options(self) -> dict[str, Any]:
        return {**self.template, **({} if self.thinking is None else {"enable_thinking": self.thinking})}


class JudgeSettings(SettingsSection):
    """An OpenAI-compatible endpoint that judges replies beside the rule. Off unless `url` is set."""

    url: str | None = None  # up to and with /v1
    model: str = "judge"  # the name that the endpoint knows it by
    key_variable: str = "OPENAI_API_KEY"  # the environment variable with the key; the key itself is never stored
    timeout_s: float = Field(default=60, gt=0, le=86_400)  # of a whole answer
    requests_at_once: int = Field(default=8, gt=0, le=1024)

    @field_validator("url")
    @classmethod
    def _no_secret(cls, url: str | None) -> str | None:
        """Settings are stored and shown."""
        try:
            parts = urlsplit(url or "")
        except ValueError:
            return url  # refused where it is used
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "an address is stored with the run: no password, key or query in it; key_variable names one"
            )
        return url


class EvalSettings(SettingsSection):
    """Benches, data, engine and sampling. Sampling defaults are [code]: RLSD's own validation, = Qwen3-VL's advice."""

    benches: tuple[str, ...] = ("all",)  # names of `eval.benches.BENCHES`, which are checked where they are used
    tasks: tuple[str, ...] = ()  # of lm-eval's own, by name or as a .yaml: with its settings and metrics
    data: str = "hub"  # hub | mini (quick) | mini-large | a file or folder in the official schema
    allow_outside: bool = False  # whether local rows may name pictures outside their folder
    engine: Literal["transformers", "vllm"] = "transformers"
    splits: dict[str, str] = {}  # another split than a bench's own, e.g. zerobench: zerobench (the main set)
    samples: Count = 1  # replies per question
    temperature: float = Field(default=0.7, ge=0)  # 0 is greedy
    top_p: TopP = 0.8
    top_k: TopK = 20
    presence_penalty: float = Field(default=1.5, ge=-2, le=2)
    max_new_tokens: Count = 4096
    batch_size: Count = 8
    limit: Count | None = None  # rows per bench; We-Math keeps whole problems
    every: Count | None = None  # of a run: its weights are kept, and evaluated, at each such step
    seed: Seed = 0
    max_pixels: Count | None = None  # per picture; None leaves it to the model's processor
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|(cuda|xpu)(:\d+)?)$")
    tensor_parallel: Count = 1  # GPUs that share one copy of the model (vllm)
    data_parallel: Count = 1  # copies of the model that share the questions, a process each
    judge: JudgeSettings = JudgeSettings()
    chat: Chat | None = None  # None: as in training (model.system, .thinking, .template)

    @property
    def spoken(self) -> dict[str, Any]:
        """`chat` with what is set of it; empty where it is the template's own, as it was before there were settings."""
        said = self.chat.model_dump(mode="json", exclude_defaults=True) if self.chat else {}
        return {"chat": said} if said else {}

    @field_validator("benches")
    @classmethod
    def _no_bench_twice(cls, benches: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(benches)) < len(benches):
            raise ValueError("name no bench twice")
        return benches

    @model_validator(mode="after")
    def _possible(self) -> "EvalSettings":
        if not self.benches and not self.tasks:
            raise ValueError("name at least one bench")
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(f"temperature 0 gives the same reply {self.samples} times; raise it, or set samples to 1")
        if self.engine == "transformers" and self.tensor_parallel > 1:
            raise ValueError("tensor_parallel above 1 needs engine vllm; with transformers use data_parallel")
        return self


def evaluated_steps(last: int, every: int | None) -> list[int]:
    """The steps of a run at which it is evaluated (`eval.every`): each `every`-th, and the last."""
    return [*range(every, last, every), last] if every else [last]
