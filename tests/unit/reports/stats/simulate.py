"""Do the intervals hold what they say? Worlds whose true differences are known, evaluated again and again.

A reply is right where a normal latent is above zero: the method's level, a cluster's and an item's difficulty, what
the method finds hard of its own, the seed's effect (partly shared by all methods, as is the order of the data), the
seed's effect on the item, and the luck of the reply. The true rate is then a normal distribution function in closed
form. A half credit is a latent just below zero.

    python -m tests.unit.reports.stats.simulate [simulations]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from reports.stats.grid import Grid
from reports.stats.paired import AVERAGE, all_pairs

HALF = 0.5  # how far below zero a latent still earns a half credit


@dataclass(frozen=True)
class Structure:
    """One bench: the sizes of its clusters, and whether it gives half credits."""

    sizes: tuple[int, ...]
    half: bool = False


MINI = {
    "questions": Structure((1,) * 60),
    "pictures": Structure((3,) * 20),
    "problems": Structure((1,) * 20, half=True),
}
PAPER = {
    "questions": Structure((1,) * 900),
    "many questions": Structure((1,) * 3040),
    "pictures": Structure((1, 2, 3, 4, 7) * 20),
    "problems": Structure((1,) * 525, half=True),
}


@dataclass(frozen=True)
class World:
    """Standard deviations of the latent's parts, the methods' levels, and how often all is drawn."""

    benches: Mapping[str, Structure]
    seeds: int = 1
    samples: int = 1
    levels: tuple[float, ...] = (0.0, 0.3)
    cluster: float = 0.7
    item: float = 0.7
    own: float = 0.3
    training: float = 0.0
    shared: float = 0.0
    interplay: float = 0.3
    wild: float = 0.0  # of the last method's seeds, if it comes apart

    @property
    def methods(self) -> list[str]:
        return [f"m{i}" for i in range(len(self.levels))]

    @property
    def training_M(self) -> np.ndarray:
        return np.array([self.training] * (len(self.levels) - 1) + [self.wild or self.training])

    def truth(self, level: float, half: bool, training: float) -> float:
        parts = (self.cluster, self.item, self.own, training, self.shared, self.interplay)
        scale = np.sqrt(1 + sum(part * part for part in parts))
        full = stats.norm.cdf(level / scale)
        return float((full + stats.norm.cdf((level + HALF) / scale)) / 2 if half else full)


def draw(world: World, rng: np.random.Generator) -> dict[str, Grid]:
    """All runs' evaluations of newly drawn items, with newly drawn seeds."""
    methods, seeds = len(world.levels), world.seeds
    seed_MS = world.training_M[:, None] * rng.standard_normal((methods, seeds)) + world.shared * rng.standard_normal(
        seeds
    )
    level_MS = np.array(world.levels)[:, None] + seed_MS
    return {name: _bench(world, structure, level_MS, rng) for name, structure in world.benches.items()}


def _bench(world: World, structure: Structure, level_MS: np.ndarray, rng: np.random.Generator) -> Grid:
    codes = np.repeat(np.arange(len(structure.sizes)), structure.sizes)
    units, (methods, seeds) = len(codes), level_MS.shape
    hard_U = world.cluster * rng.standard_normal(len(structure.sizes))[codes] + world.item * rng.standard_normal(units)
    latent = (
        level_MS[..., None]
        + hard_U
        + world.own * rng.standard_normal((methods, 1, units))
        + world.interplay * rng.standard_normal((methods, seeds, units))
    )
    replies = latent[..., None] + rng.standard_normal((*latent.shape, world.samples))
    worth = (replies > 0).astype(float)
    if structure.half:
        worth = (worth + (replies > -HALF)) / 2
    values_RU = worth.mean(axis=-1).reshape(methods * seeds, units)
    totals_RC = np.add.reduceat(values_RU, np.flatnonzero(np.diff(codes, prepend=-1)), axis=1)
    runs = tuple((method, seed) for method in world.methods for seed in range(seeds))
    return Grid(runs, values_RU, totals_RC, np.array(structure.sizes, float), world.samples == 1)


def coverage(world: World, simulations: int, rng: np.random.Generator, replicates: int = 1000) -> dict[str, float]:
    """By column (benches, then the average): the share of pairs and draws whose interval held the true difference.
    Where a method comes apart, also of the others' average, and the mean width of its intervals."""
    true = {
        method: {name: world.truth(level, structure.half, training) for name, structure in world.benches.items()}
        for method, level, training in zip(world.methods, world.levels, world.training_M, strict=True)
    }
    for rates in true.values():
        rates[AVERAGE] = float(np.mean(list(rates.values())))
    held: dict[str, list[float]] = {name: [] for name in [*world.benches, AVERAGE]}
    for _ in range(simulations):
        for name, pairs in all_pairs(draw(world, rng), world.methods, rng, replicates).items():
            for (a, b), found in pairs.items():
                low, high = found.estimate.low, found.estimate.high
                inside = low is not None and high is not None and low <= true[a][name] - true[b][name] <= high
                held[name].append(inside)
                if world.wild and name == AVERAGE and world.methods[-1] not in (a, b):
                    held.setdefault("average of the others", []).append(inside)
                    held.setdefault("its width", []).append(high - low)
    return {name: float(np.mean(inside)) for name, inside in held.items()}


def family_error(world: World, simulations: int, rng: np.random.Generator) -> dict[str, float]:
    """By column: how often any pair of methods of one level passes Holm's correction at .05."""
    assert len(set(world.levels)) == 1
    wrong = dict.fromkeys([*world.benches, AVERAGE], 0)
    for _ in range(simulations):
        found = all_pairs(draw(world, rng), world.methods, rng, 2)  # p values need no replicates
        for name, pairs in found.items():
            wrong[name] += any(each.estimate.p is not None and each.estimate.p < 0.05 for each in pairs.values())
    return {name: count / simulations for name, count in wrong.items()}


SIX = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6)
TRAINED = World(MINI, seeds=3, levels=SIX, training=0.15, shared=0.1)
WORLDS = {
    "one seed, two methods": World(MINI),
    "one seed, no difference": World(MINI, levels=(0.0, 0.0)),
    "one seed, four samples": World(MINI, samples=4),
    "two seeds, six methods": replace(TRAINED, seeds=2),
    "three seeds, six methods": TRAINED,
    "three seeds, training adds nothing": replace(TRAINED, training=0.0, shared=0.0),
    "three seeds far apart": replace(TRAINED, training=0.6),
    "three seeds, four samples": replace(TRAINED, samples=4),
    "five seeds, six methods": replace(TRAINED, seeds=5),
    "three seeds, one method comes apart": replace(TRAINED, wild=1.5),
    "five seeds, one method comes apart": replace(TRAINED, seeds=5, wild=1.5),
    "two methods, two seeds": replace(TRAINED, seeds=2, levels=(0.0, 0.3)),
    "two methods, three seeds": replace(TRAINED, levels=(0.0, 0.3)),
    "two methods, five seeds": replace(TRAINED, seeds=5, levels=(0.0, 0.3)),
}
ALIKE = replace(TRAINED, levels=(0.2,) * 6)
FAMILIES = {
    "one seed": replace(ALIKE, seeds=1, training=0.0),
    "two seeds": replace(ALIKE, seeds=2),
    "three seeds": ALIKE,
    "three seeds far apart": replace(ALIKE, training=0.6),
    "five seeds": replace(ALIKE, seeds=5),
}


def main(simulations: int) -> None:
    for size, benches in (("small", MINI), ("official sizes", PAPER)):
        for name, world in WORLDS.items():
            pairs = len(world.levels) * (len(world.levels) - 1) // 2
            held = coverage(replace(world, benches=benches), max(100, simulations // min(pairs, 5)), _fresh())
            _show(f"covers, {size}, {name}", held)
    for name, world in FAMILIES.items():
        _show(f"any of 15 wrong, {name}", family_error(world, simulations // 2, _fresh()))


def _fresh() -> np.random.Generator:
    return np.random.default_rng(0)  # for each world anew, so that a line does not hang on those before it


def _show(title: str, found: Mapping[str, float]) -> None:
    print(f"{title:58}", "  ".join(f"{name} {100 * share:.1f}" for name, share in found.items()), flush=True)


if __name__ == "__main__":
    start = time.process_time()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
    print(f"{time.process_time() - start:.0f} s of CPU")
