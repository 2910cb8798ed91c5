"""The state of a warm start that is under way: weights and optimizers in one file, read again after a stop."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from eval.core import files
from eval.core.errors import UserError


class Unfinished:
    """A file that belongs to one recipe (its words); another recipe's is refused."""

    def __init__(self, path: Path, recipe: str) -> None:
        self.path, self._recipe = path, recipe

    def save(self, model: nn.Module, optimizers: list[torch.optim.Optimizer], step: int) -> None:
        """Weights and optimizer states after `step` steps, whole or not at all."""
        tensors = {f"model/{name}": p.detach() for name, p in model.named_parameters()}
        for o, optimizer in enumerate(optimizers):
            for p, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{o}/{p}/{key}": value for key, value in state.items()}
        about = {"recipe": self._recipe, "step": str(step)}
        with files.replaced(self.path) as [half]:
            save_file({k: v.contiguous() for k, v in tensors.items()}, half, about)

    def load(self, model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> int:
        """Put the kept state in place; returns its step, 0 where nothing is kept."""
        if not self.path.is_file():
            return 0
        with safe_open(self.path, "pt") as file:
            kept = file.metadata()
            if kept["recipe"] != self._recipe:
                raise UserError(
                    f"{self.path} is of another recipe ({kept['recipe']}): delete it or choose another --out"
                )
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(tensors[f"model/{name}"])
        for o, optimizer in enumerate(optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                if key.startswith(f"{o}/"):
                    _, p, name = key.split("/")
                    state.setdefault(int(p), {})[name] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        return int(kept["step"])
