"""The paper's own table checked: its averages recomputed, and which of its differences luck alone could explain."""

from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import fmean

from eval.benches import BENCHES
from reports.suite import paper

MEANING = (
    "The paper prints one number a cell. Were each an independent sample of right and wrong answers to the official "
    "number of questions, with nothing shared between rows, a difference would have to be larger than 1.96 standard "
    "errors not to be luck. Its rows answer the same questions, which makes the true error smaller; its trainings, of "
    "which it shows one, make it larger."
)


@dataclass(frozen=True)
class Gap:
    """A printed difference of averages, 0..1, and how large luck alone makes one in 95 % of cases."""

    label: str
    other: str
    difference: float
    luck: float
    beyond: tuple[str, ...]  # benches on which the difference is larger than luck

    @property
    def explained(self) -> bool:
        return abs(self.difference) <= self.luck


@dataclass(frozen=True)
class Reference:
    """`averages` are recomputed from the printed columns, in percent, by label with what is printed. `gaps` are
    those of the best row, `others` between the rest."""

    averages: dict[str, tuple[float, float]]
    gaps: tuple[Gap, ...]
    others: tuple[Gap, ...]
    meaning: str = MEANING


def reference() -> Reference:
    """Every pair of rows, by the printed averages."""
    averages = {paper.LABELS[m]: (fmean(values[:-1]), values[-1]) for m, values in paper.PERCENT.items()}
    first = max(paper.PERCENT, key=lambda m: paper.PERCENT[m][-1])
    rest = [m for m in paper.PERCENT if m != first]
    return Reference(averages, tuple(_gap(first, m) for m in rest), tuple(_gap(a, b) for b, a in combinations(rest, 2)))


def _gap(a: str, b: str) -> Gap:
    benches = [column for column in paper.COLUMNS if column in BENCHES]
    shares = {bench: [paper.PERCENT[m][paper.COLUMNS.index(bench)] / 100 for m in (a, b)] for bench in benches}
    variances = {
        bench: sum(share * (1 - share) for share in both) / BENCHES[bench].official_n for bench, both in shares.items()
    }
    beyond = [BENCHES[b].label for b, (x, y) in shares.items() if abs(x - y) > 1.96 * sqrt(variances[b])]
    luck = 1.96 * sqrt(sum(variances.values())) / len(benches)
    difference = (paper.PERCENT[a][-1] - paper.PERCENT[b][-1]) / 100
    return Gap(paper.LABELS[a], paper.LABELS[b], difference, luck, tuple(beyond))
