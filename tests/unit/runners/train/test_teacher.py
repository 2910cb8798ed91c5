"""The teacher's weights: what each kind holds and when, on plain tensors, under LoRA, and over two processes."""

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from methods import Teacher
from methods.opsd import OPSD
from runners.forward.batch import Rows
from runners.forward.logprobs import expose_hidden_states, student_scores, teacher_states, token_log_probs
from runners.train.teacher import TeacherWeights
from tests.support import warm
from tests.support.methods import by_chunks, copied_bytes
from tests.support.tiny_vlm import Prompt, average_gradients, batch, shard_of, tiny_vlm

KINDS = {
    "initial": Teacher("initial"),
    "live": Teacher("live"),
    "snapshot": Teacher("snapshot", every=2),
    "ema": Teacher("ema", rate=0.25),
}


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 3), nn.Linear(3, 2)
        self.frozen = nn.Parameter(torch.ones(5), requires_grad=False)

    def forward(self, x_BD: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x_BD)))


def _values(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def _while_active(teacher: TeacherWeights, policy: nn.Module) -> dict[str, Tensor]:
    with teacher.active():
        return _values(policy)


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@torch.no_grad()
def _move(model: nn.Module, seed: int) -> None:
    torch.manual_seed(seed)
    for p in model.parameters():
        if p.requires_grad:
            p.add_(torch.randn_like(p))


# --- plain ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_host", [False, True])
@pytest.mark.parametrize("per_step", [1, 3])
@pytest.mark.parametrize("name", KINDS)
def test_whose_weights_each_kind_has_after_every_update(name: str, per_step: int, on_host: bool) -> None:
    policy, spec = Tiny(), KINDS[name]
    teacher, seen = TeacherWeights(spec, policy, on_host), [_values(policy)]
    teacher.start()
    average = {n: v.double() for n, v in seen[0].items()}
    for update in range(1, 4 * per_step + 2):
        _move(policy, update)
        seen.append(_values(policy))
        teacher.after_update(update, per_step)
        if name == "ema":
            average = {n: 0.75 * v + 0.25 * seen[-1][n].double() for n, v in average.items()}
            got = _while_active(teacher, policy)
            assert all((got[n] - average[n]).abs().max() < 1e-6 for n in average), update
            continue
        # A snapshot is of the end of the last step whose number is even; a step is `per_step` updates.
        source = {"initial": 0, "live": update, "snapshot": update // (2 * per_step) * 2 * per_step}[name]
        got = _while_active(teacher, policy)
        assert [i for i, values in enumerate(seen) if _same(values, got)] == [source], update


@pytest.mark.parametrize("on_host", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_the_policy_gets_its_own_values_back_to_the_last_bit(name: str, on_host: bool) -> None:
    policy = Tiny().bfloat16()
    teacher = TeacherWeights(KINDS[name], policy, on_host)
    teacher.start()
    _move(policy, 1)
    before, storage = _values(policy), policy.a.weight.data_ptr()
    with teacher.active():
        assert _same(_values(policy), before) == (name == "live")
    assert _same(_values(policy), before)
    with pytest.raises(KeyError), teacher.active():
        raise KeyError
    assert _same(_values(policy), before)
    assert policy.a.weight.data_ptr() == storage, "optimizer and wrappers keep pointing at the weights"
    assert all(p.grad is None for p in policy.parameters())


def test_what_the_copy_holds() -> None:
    trained = 4 * 3 + 3 + 3 * 2 + 2  # not `frozen`
    expected = {"initial": 2 * trained, "snapshot": 2 * trained, "live": 0, "ema": 4 * trained}
    for name, spec in KINDS.items():
        teacher = TeacherWeights(spec, Tiny().bfloat16())
        assert copied_bytes(teacher) == 0
        teacher.start()
        assert copied_bytes(teacher) == expected.get(name, 0), name
        assert teacher.changes_weights == (name in ("initial", "snapshot", "ema"))


def test_an_average_of_bfloat16_weights_keeps_small_updates() -> None:
    """The policy goes from 1 to its next larger value: a step of the average is a twentieth of what bfloat16 tells
    apart there."""
    policy = nn.Linear(8, 1, bias=False).bfloat16()
    nn.init.ones_(policy.weight)
    teacher = TeacherWeights(Teacher("ema", rate=0.05), policy)
    teacher.start()
    nn.init.constant_(policy.weight, 1 + 2**-7)
    narrow = torch.ones(8, dtype=torch.bfloat16)
    for update in range(1, 41):
        teacher.after_update(update)
        narrow.lerp_(policy.weight.detach()[0], 0.05)
    exact = 1 + 2**-7 * (1 - 0.95**40)
    held = teacher._copy["weight"]
    assert held.dtype == torch.float32
    assert (held.double() - exact).abs().max() < 1e-6
    assert (narrow == 1).all(), "negative control: an average in bfloat16 has not moved at all"
    assert (_while_active(teacher, policy)["weight"] == 1 + 2**-7).all(), "the nearest bfloat16 of the average"


@pytest.mark.parametrize("on_host", [False, True])
@pytest.mark.parametrize("name", ["initial", "snapshot", "ema"])
def test_save_and_load(tmp_path: Path, name: str, on_host: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Tiny()
    teacher = TeacherWeights(KINDS[name], policy)
    teacher.start()
    _move(policy, 1)
    teacher.after_update(2)
    expected = _while_active(teacher, policy)
    monkeypatch.setenv("RANK", "1")
    teacher.save(tmp_path)
    assert not list(tmp_path.iterdir()), "one process writes what all of them hold"
    monkeypatch.setenv("RANK", "0")
    teacher.save(tmp_path)
    _move(policy, 2)
    resumed = TeacherWeights(KINDS[name], policy, on_host)  # a file fits wherever the copy is kept
    resumed.start()
    resumed.load(tmp_path)
    assert _same(_while_active(resumed, policy), expected)


# --- LoRA -------------------------------------------------------------------------------------------------------


def _lora() -> PeftModel:
    torch.manual_seed(1)
    return get_peft_model(Tiny(), LoraConfig(r=2, target_modules=["a"]))


def test_under_lora_a_snapshot_is_a_copy_of_the_adapter() -> None:
    policy = _lora()
    teacher = TeacherWeights(KINDS["snapshot"], policy)
    teacher.start()
    assert copied_bytes(teacher) == 4 * (2 * 4 + 3 * 2), "A is 2 x 4, B is 3 x 2"
    x_BD = torch.randn(5, 4)
    _move(policy, 1)
    told_BD, base = policy(x_BD), _values(policy.get_base_model().b)
    teacher.after_update(2)
    _move(policy, 2)
    moved_BD = policy(x_BD)
    with teacher.active():
        assert torch.equal(policy(x_BD), told_BD)
    assert torch.equal(policy(x_BD), moved_BD)
    assert not torch.equal(moved_BD, told_BD)
    assert _same(_values(policy.get_base_model().b), base)


def test_under_lora_the_initial_teacher_is_the_base_and_holds_nothing() -> None:
    x_BD = torch.randn(5, 4)
    expected_BD, policy = Tiny()(x_BD), _lora()
    teacher = TeacherWeights(KINDS["initial"], policy)
    teacher.start()
    assert copied_bytes(teacher) == 0
    assert not teacher.changes_weights
    _move(policy, 1)
    moved_BD = policy(x_BD)
    with teacher.active():
        assert torch.equal(policy(x_BD), expected_BD)
    with pytest.raises(KeyError), teacher.active():
        raise KeyError
    assert torch.equal(policy(x_BD), moved_BD)
    assert not torch.equal(moved_BD, expected_BD)


# --- sharded ----------------------------------------------------------------------------------------------------


def _prompts(rank: int, words: int) -> Rows:
    """Two rollouts of a prompt with a picture and one of another without, told or not by more words."""
    return batch([Prompt(1, words, [4])] * 2 + [Prompt(2, words)], [6, 4, 3], seed=rank)


def _pass(model: nn.Module, teacher: TeacherWeights, rank: int) -> Tensor:
    """Back-propagate the loss on a rank's rows; the teacher's log-probabilities of them."""
    asked, told = _prompts(rank, 5), _prompts(rank, 9)
    with teacher.active():
        told_BT = token_log_probs(model, told, 1.0)
        states = {"reference": teacher_states(model, told, teacher.changes_weights)}
    one = lambda logp_N, _: torch.ones_like(logp_N)  # noqa: E731
    loss = student_scores(model, asked, 1.0, states, by_chunks(OPSD()), one, policy=False).loss
    assert loss is not None
    loss.backward()
    return told_BT


def _apart(sharded: Any, whole: Tensor) -> float:
    """The largest difference within this process's shard. The other's is the other process's to look at."""
    assert isinstance(sharded, DTensor)
    own, expected = sharded.to_local(), shard_of(whole)
    assert own.shape == expected.shape
    return (own - expected).abs().max().item() if own.numel() else 0.0


def _train_both(kind: str, reshard: bool | None, mesh: Any, folder: Path) -> dict[str, float]:
    """Steps of the same model, sharded and whole, each with its teacher: the largest differences."""
    rank, whole = dist.get_rank(), tiny_vlm()
    sharded = copy.deepcopy(whole)
    for model in (whole, sharded):
        expose_hidden_states(model)
    decoded = list[int]()
    sharded.model.language_model.norm.register_forward_pre_hook(lambda _, x: decoded.append(x[0][..., 0].numel()))
    for layer in (*sharded.model.language_model.layers, *sharded.model.visual.blocks):
        fully_shard(layer, mesh=mesh, reshard_after_forward=reshard)
    fully_shard(sharded, mesh=mesh, reshard_after_forward=reshard)
    teachers = [TeacherWeights(KINDS[kind], model) for model in (whole, sharded)]
    optimizers = [torch.optim.SGD([p for p in m.parameters() if p.requires_grad], lr=0.05) for m in (whole, sharded)]
    for teacher in teachers:
        teacher.start()
    out = {"log_probs": 0.0, "gradient": 0.0, "weights": 0.0, "moved": 0.0}
    start_BT = None
    for update in range(1, 4 if kind == "snapshot" else 3):  # a snapshot is another one after its second step
        expected_BT = _pass(whole, teachers[0], rank)  # every rank has its own rows
        average_gradients(whole)
        told_BT = _pass(sharded, teachers[1], rank)
        start_BT = told_BT if start_BT is None else start_BT
        out["log_probs"] = max(out["log_probs"], (told_BT - expected_BT).abs().max().item())
        out["moved"] = max(out["moved"], (told_BT - start_BT).abs().max().item())
        for p, q in zip(whole.parameters(), sharded.parameters(), strict=True):
            if p.grad is not None:
                out["gradient"] = max(out["gradient"], _apart(q.grad, p.grad) / max(p.grad.abs().max().item(), 1e-3))
        for optimizer, teacher in zip(optimizers, teachers, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            teacher.after_update(update)
        for p, q in zip(whole.parameters(), sharded.parameters(), strict=True):
            out["weights"] = max(out["weights"], _apart(q.detach(), p.detach()))
    out["bytes"], out["whole_bytes"] = copied_bytes(teachers[1]), copied_bytes(teachers[0])
    out["decoded"] = decoded[-1]
    out["resumed"] = float(_resumes(teachers[1], sharded, kind, folder))
    return out


def _resumes(teacher: TeacherWeights, policy: nn.Module, kind: str, folder: Path) -> bool:
    teacher.save(folder)
    dist.barrier()
    again = TeacherWeights(KINDS[kind], policy)
    again.start()
    again.load(folder)
    return _same(again._copy, teacher._copy) and again._copy.keys() == teacher._copy.keys()


# accelerate reshards every module after its forward; FSDP2's own default keeps the root gathered between passes.
CASES = [*((kind, True) for kind in KINDS), ("live", None), ("snapshot", None)]


def _worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["RANK"] = str(rank)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    mesh, out = dist.device_mesh.init_device_mesh("cpu", (2,)), {}
    for kind, reshard in CASES:
        own = Path(folder) / f"{kind}-{reshard}"
        own.mkdir(exist_ok=True)
        out[kind, reshard] = _train_both(kind, reshard, mesh, own)
    torch.save(out, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, dict[str, float]]]:
    folder = tmp_path_factory.mktemp("sharded")
    assert warm.two(_worker, str(folder)) == [0, 0]
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "reshard"), CASES)
def test_a_sharded_teacher_is_the_whole_one(sharded: Any, kind: str, reshard: bool | None) -> None:
    for rank in sharded:
        got = rank[kind, reshard]
        assert got["log_probs"] < 1e-6
        assert got["gradient"] < 1e-4
        assert got["weights"] < 1e-6
        assert (got["moved"] > 1e-3) == (kind != "initial"), "the steps are large enough to see whose weights score"
        assert got["resumed"] == 1
        prompts = len(Prompt(1, 5, [4]).ids) + len(Prompt(2, 5).ids)
        assert got["decoded"] == prompts + 6 + 4 + 3, "packed: two rollouts, their prompt once"
    copied = [rank[kind, reshard]["bytes"] for rank in sharded]
    assert sum(copied) == sharded[0][kind, reshard]["whole_bytes"], "each process holds its shard, and nothing twice"
    assert max(copied) <= 0.51 * sum(copied)
