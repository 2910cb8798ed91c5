"""What an evaluation is asked to do. Part of a run's settings; importing it costs nothing but pydantic."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class JudgeSettings(BaseModel):
    """An OpenAI-compatible endpoint that judges replies beside the rule. Off unless `url` is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None  # up to and with /v1
    model: str = "judge"  # the name that the endpoint knows it by
    key_variable: str = "OPENAI_API_KEY"  # the environment variable with the key; the key itself is never stored
    timeout_s: float = Field(default=60, gt=0)
    requests_at_once: int = Field(default=8, gt=0)


class EvalSettings(BaseModel):
    """Benches, data, engine and sampling. Sampling defaults are [code]: RLSD's own validation, = Qwen3-VL's advice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    benches: tuple[str, ...] = ("all",)  # names of `eval.benches.BENCHES`, which are checked where they are used
    data: str = "hub"  # hub | mini | a file or folder in the official schema
    engine: Literal["transformers", "vllm"] = "transformers"
    splits: dict[str, str] = {}  # another split than a bench's own, e.g. zerobench: zerobench (the main set)
    samples: int = Field(default=1, gt=0)  # replies per question
    temperature: float = Field(default=0.7, ge=0)  # 0 is greedy
    top_p: float = Field(default=0.8, gt=0, le=1)
    top_k: int = Field(default=20, ge=0)  # 0 keeps every token
    presence_penalty: float = Field(default=1.5, ge=-2, le=2)
    max_new_tokens: int = Field(default=4096, gt=0)
    batch_size: int = Field(default=8, gt=0)
    limit: int | None = Field(default=None, gt=0)  # rows per bench; We-Math keeps whole problems
    every: int | None = Field(default=None, gt=0)  # of a run: its weights are kept, and evaluated, at each such step
    seed: int = 0
    max_pixels: int | None = Field(default=None, gt=0)  # per picture; None leaves it to the model's processor
    device: str = "auto"
    tensor_parallel: int = Field(default=1, gt=0)  # GPUs that share one copy of the model (vllm)
    data_parallel: int = Field(default=1, gt=0)  # copies of the model that share the questions, a process each
    judge: JudgeSettings = JudgeSettings()

    @field_validator("benches")
    @classmethod
    def _no_bench_twice(cls, benches: tuple[str, ...]) -> tuple[str, ...]:
        if not benches or len(set(benches)) < len(benches):
            raise ValueError("name at least one bench, and none twice")
        return benches

    @model_validator(mode="after")
    def _possible(self) -> "EvalSettings":
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(f"temperature 0 gives the same reply {self.samples} times; raise it, or set samples to 1")
        if self.engine == "transformers" and self.tensor_parallel > 1:
            raise ValueError("tensor_parallel above 1 needs engine vllm; with transformers use data_parallel")
        return self
