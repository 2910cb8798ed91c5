"""Groups in several micro-batches under FSDP2, on two processes, against single rows on the whole model."""

import copy
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointImpl, checkpoint_wrapper
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from runners.forward import hidden_states
from runners.forward.batch import Rows
from runners.forward.lm_head import Head
from runners.forward.logprobs import expose_hidden_states
from runners.forward.split_group import SplitGroup
from tests.support import warm
from tests.support.tiny_vlm import Prompt, average_gradients, batch, shard_of, tiny_vlm

ONE, OTHER, TEXT, SHORT = Prompt(1, 7, [4]), Prompt(9, 6, [4]), Prompt(3, 7), Prompt(4, 5)
ROWS = [batch([ONE] * 4, [3, 5, 2, 4], seed=1), batch([OTHER] * 4, [6, 1, 3, 3], seed=2)]
HALVES = [[0, 1], [2, 3]]
pytestmark = pytest.mark.slow


# --- models ---------------------------------------------------------------------------------------------------------


def checkpointed() -> Any:
    model = tiny_vlm().train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


def untied() -> Any:
    """As the larger models are: with a head that no other module shares, and nobody calls."""
    model = tiny_vlm()
    model.lm_head.weight = torch.nn.Parameter(1.5 * model.lm_head.weight.detach())
    return model


def wrapped() -> Any:
    """With its layers in checkpoints as accelerate puts them there: outside of them is the shard."""
    model = tiny_vlm()
    for layers in (model.model.language_model.layers, model.model.visual.blocks):
        for i, layer in enumerate(layers):
            layers[i] = checkpoint_wrapper(layer, checkpoint_impl=CheckpointImpl.NO_REENTRANT)
    return model


def adapted() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return get_peft_model(tiny_vlm(), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))


def inner(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "peft_config") else model


# --- units that FSDP2 gathers ---------------------------------------------------------------------------------------


def layers_and_rest(model: Any, reshard: bool, **shared: Any) -> None:
    own = inner(model).model
    for layer in (*own.language_model.layers, *own.visual.blocks):
        fully_shard(layer, reshard_after_forward=reshard, **shared)
    fully_shard(model, reshard_after_forward=reshard, **shared)


def as_accelerate(model: Any, reshard: bool | None, **shared: Any) -> None:
    """Embedding and head are units of their own, and one where they are one tensor."""
    own = inner(model).model
    for layer in (*own.language_model.layers, *own.visual.blocks):
        fully_shard(layer, reshard_after_forward=reshard, **shared)
    ends = [own.language_model.embed_tokens, inner(model).lm_head]
    tied = ends[0].weight is ends[1].weight
    for unit in [ends] if tied else ends:
        fully_shard(unit, reshard_after_forward=False, **shared)
    fully_shard(model, **shared)


class Case(NamedTuple):
    """rows and parts: of each process. at_the_end: gradients are reduced with the last part, as accelerate does it."""

    model: Callable[[], Any] = tiny_vlm
    shard: Callable[..., None] = as_accelerate
    reshard: bool = True
    at_the_end: bool = True
    rows: list[Rows] = ROWS
    parts: list[list[list[int]]] = [HALVES, HALVES]


CASES = {
    "as accelerate": Case(),  # which frees layers after the forward pass, and nothing else
    "all freed after the forward pass": Case(shard=layers_and_rest, at_the_end=False),
    "nothing freed after the forward pass": Case(shard=layers_and_rest, reshard=False),
    "checkpoints": Case(checkpointed),
    "layers in checkpoints": Case(wrapped, at_the_end=False),
    "adapter": Case(adapted),
    "a head of its own": Case(untied),
    "unlike processes": Case(
        rows=[batch([TEXT] * 4, [0, 0, 3, 2]), batch([SHORT] * 4, [6, 1, 0, 0])], parts=[[[0, 1], [3]], HALVES]
    ),
}


# --- a process ------------------------------------------------------------------------------------------------------


def scored(rows: Rows, part: list[int]) -> tuple[Rows, Callable[[Tensor, Head], Tensor], Tensor]:
    """Some rows, what gives the log-probabilities of their tokens, and the weight of each in the loss."""
    own = rows.select(part)
    mask_BT = own.completion_mask_BT.bool()
    ids_N = own.completion_BT[mask_BT]
    weight_BT = torch.linspace(-1, 2, rows.completion_BT.numel()).view(rows.completion_BT.shape)

    def log_probs(hidden_ND: Tensor, head: Head) -> Tensor:
        return head(hidden_ND, 1.0).log_softmax(-1).gather(-1, ids_N[:, None]).sum(-1)

    return own, log_probs, weight_BT[part][mask_BT]


def expected(model: Any, case: Case, rank: int) -> Tensor:
    """Log-probabilities of the process's tokens, every row by itself; the model has the mean of both processes'
    gradients then."""
    logps = []
    for row in (row for part in case.parts[rank] for row in part):
        own, log_probs, weight_N = scored(case.rows[rank], [row])
        logp_N = log_probs(hidden_states.by_row(inner(model), own), Head.of(inner(model)))
        (logp_N @ weight_N.to(logp_N.dtype)).backward()
        logps.append(logp_N.detach())
    average_gradients(model)
    return torch.cat(logps)


def updated(model: Any, case: Case, rank: int, split: bool = True) -> Tensor:
    """Log-probabilities of the process's tokens; the shards have their gradients then."""
    model.zero_grad()
    rows, parts, logps = case.rows[rank], case.parts[rank], []
    group = {"group": SplitGroup(len(parts))} if split else {}
    for part in parts:
        own, log_probs, weight_N = scored(rows, part)
        model.set_requires_gradient_sync(part is parts[-1] or not case.at_the_end)
        logp_N = model(rows=own, then=log_probs, **group)
        (logp_N @ weight_N.to(logp_N.dtype)).backward()
        logps.append(logp_N.detach())
    return torch.cat(logps)


def gradients(model: Any) -> dict[str, Any]:
    named = ((name.replace("_checkpoint_wrapped_module.", ""), p.grad) for name, p in model.named_parameters())
    return {name: g for name, g in named if g is not None}


def apart(sharded: dict[str, DTensor], whole: dict[str, Tensor]) -> Tensor:
    """The norm of each gradient's difference, over all shards."""
    squares = [(g.to_local().double() - shard_of(whole[name])).square().sum() for name, g in sharded.items()]
    norms = torch.stack(squares)
    dist.all_reduce(norms)
    return norms.sqrt()


def compared(case: Case, mesh: Any, rank: int) -> dict[str, Any]:
    """In float64; norms and rotary angles stay float32. The second of two updates: the first one's rows are checked as
    well, and a gradient that came too late for it would be found here."""
    whole = case.model().double()
    sharded, decoded, encoded = copy.deepcopy(whole), list[int](), list[int]()
    for model in (whole, sharded):
        expose_hidden_states(inner(model))
    parts = inner(sharded).model
    parts.language_model.norm.register_forward_pre_hook(lambda _, x: decoded.append(x[0][..., 0].numel()))
    parts.visual.patch_embed.register_forward_pre_hook(lambda _, x: encoded.append(len(x[0])))
    case.shard(sharded, case.reshard, mesh=mesh)
    logp_N = expected(whole, case, rank)
    updated(sharded, case, rank)
    decoded.clear()
    encoded.clear()
    got_N = updated(sharded, case, rank)
    right, got = gradients(whole), gradients(sharded)
    norms = torch.stack([right[name].norm().double() for name in got])
    furthest = (apart(got, right) / norms.clamp(min=1e-3 * norms.max().item())).max()
    return {
        "log_probs": (got_N - logp_N).abs().max().item(),
        "spread": logp_N.std().item(),
        "gradient": furthest.item(),
        "names": got.keys() == right.keys(),
        "decoded": decoded,
        "encoded": encoded,
    }


def rounded(mesh: Any, rank: int) -> tuple[float, float]:
    """In bfloat16 as accelerate sets it up: how far gradients lie from float32's, and how far where each part forwards
    its prompt."""
    whole = tiny_vlm()
    sharded = copy.deepcopy(whole)
    for model in (whole, sharded):
        expose_hidden_states(model)
    as_accelerate(sharded, True, mesh=mesh, mp_policy=MixedPrecisionPolicy(*[torch.bfloat16] * 3))
    expected(whole, Case(), rank)
    right = gradients(whole)
    size = torch.cat([g.flatten() for g in right.values()]).norm()

    def rounding(split: bool) -> float:
        updated(sharded, Case(), rank, split)
        return (apart(gradients(sharded), right).norm() / size).item()

    return rounding(True), rounding(False)


def _worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["RANK"] = str(rank)
    # Processes that no longer agree on what they do wait for each other.
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    mesh = dist.device_mesh.init_device_mesh("cpu", (2,))
    out: dict[str, Any] = {name: compared(case, mesh, rank) for name, case in CASES.items()}
    torch.save(out | {"bfloat16": rounded(mesh, rank)}, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("sharded")
    assert warm.two(_worker, str(folder)) == [0, 0]
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


def shown(rows: Rows) -> int:
    return int(rows.prompt_mask_BP[0].sum())


@pytest.mark.parametrize("name", CASES)
def test_a_sharded_group_in_parts_equals_single_rows(found: Any, name: str) -> None:
    for rank in found:
        got = rank[name]
        assert got["spread"] > 0.3, "all tokens look alike to this model: nothing is compared"
        assert got["log_probs"] < 1e-7
        assert got["names"] and got["gradient"] < 1e-6


@pytest.mark.parametrize("name", CASES)
def test_a_sharded_prompt_is_computed_once(found: Any, name: str) -> None:
    """The processes go through the layers equally often, whatever they have to say."""
    case = CASES[name]
    for rank, rows, parts in zip(found, case.rows, case.parts, strict=True):
        tokens = [int(rows.completion_mask_BT[part].sum()) for part in parts]
        assert rank[name]["decoded"] == [shown(rows), *(max(n, 1) for n in tokens)]
        assert rank[name]["encoded"] == ([16] if rows.pictures else [])


def test_sharded_parts_round_as_whole_passes_do(found: Any) -> None:
    for rank in found:
        in_parts, whole = rank["bfloat16"]
        assert 0 < in_parts < 1.2 * whole < 0.2
