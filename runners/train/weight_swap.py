"""A copy of one parameter, and how the two change places.

Beside a parameter that is whole, its copy is lent to it: no value moves and nothing is allocated. A shard of FSDP2 has
to stay where it is, for FSDP2 gathers from that very memory, and a copy in host memory is out of a GPU's reach: there
the values are exchanged, one tensor after the other, so that the policy's device holds one tensor more at most.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


def values(p: Tensor) -> Tensor:
    """The memory of a parameter, without gradient; of a sharded one the shard of this process."""
    return (p.to_local() if isinstance(p, DTensor) else p).detach()


def copy_of(place: Tensor, dtype: torch.dtype, on_host: bool) -> Tensor:
    """A copy on the same device, or in host memory: pinned where `place` is on a GPU."""
    if not on_host:
        return place.to(dtype, copy=True)
    room = torch.empty_like(place, dtype=dtype, device="cpu", pin_memory=place.is_cuda)
    return room.copy_(place)


@contextmanager
def lent(p: nn.Parameter, held: Tensor) -> Iterator[None]:
    """Inside, `p` refers to `held`, or to its values in the dtype of `p`; its own memory is left alone."""
    own = p.data
    p.data = held.to(own.dtype)
    try:
        yield
    finally:
        p.data = own


@contextmanager
def exchanged(place: Tensor, held: Tensor) -> Iterator[None]:
    """Inside, the memory `place` has the values of `held`, which keeps those of `place` meanwhile.

    A `held` of another dtype has no room for them: they wait in a copy beside it.
    """
    own = place.to(held.device, copy=True) if held.dtype != place.dtype else None
    if own is None:
        _exchange(place, held)
    else:
        place.copy_(held)
    try:
        yield
    finally:
        if own is None:
            _exchange(place, held)
        else:
            place.copy_(own)


def _exchange(place: Tensor, held: Tensor) -> None:
    coming = held.to(place.device, copy=True)
    held.copy_(place)
    place.copy_(coming)
