"""How a method looks in every figure: colour for screens, dash and marker for black-and-white print."""

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from reports.suite import paper

_MARKS = {
    "o": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
    "s": "M-3.6,-3.6h7.2v7.2h-7.2z",
    "^": "M0,-4.6L4.4,3.4H-4.4z",
    "v": "M0,4.6L4.4,-3.4H-4.4z",
    "D": "M0,-4.8L4.8,0L0,4.8L-4.8,0z",
    "P": "M-1.6,-4.4h3.2v2.8h2.8v3.2h-2.8v2.8h-3.2v-2.8h-2.8v-3.2h2.8z",
    "X": "M-4.4,-2.2L-2.2,-4.4L0,-2.2L2.2,-4.4L4.4,-2.2L2.2,0L4.4,2.2L2.2,4.4L0,2.2L-2.2,4.4L-4.4,2.2L-2.2,0z",
    "*": "M0,-5L1.4,-1.6L5,-1.5L2.2,.8L3.1,4.4L0,2.4L-3.1,4.4L-2.2,.8L-5,-1.5L-1.4,-1.6z",
}


@dataclass(frozen=True)
class Look:
    """`colour` on white and `dark` on black; `dash` are lengths on and off. Drawn alone it is a legend's swatch."""

    colour: str
    dark: str
    dash: tuple[float, ...]
    marker: str

    @property
    def dashes(self) -> str:
        return f' stroke-dasharray="{" ".join(f"{n:g}" for n in self.dash)}"' if self.dash else ""

    def group(self, parts: str, **data: str) -> str:
        """Parts in the method's colour."""
        more = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
        return f'<g class="m" style="--c:{self.colour};--d:{self.dark}"{more}>{parts}</g>'

    def mark(self, x: float, y: float, kind: str = "mark", told: str = "") -> str:
        """The marker at a place, with words (already escaped) for a mouse that rests on it."""
        inner = f"<title>{told}</title>" if told else ""
        return f'<path class="{kind}" transform="translate({x:.1f} {y:.1f})" d="{_MARKS[self.marker]}">{inner}</path>'

    def svg(self) -> Markup:
        inner = f'<path class="thick" d="M0,7H44"{self.dashes}/>{self.mark(22, 7)}'
        return Markup(
            f'<svg class="figure swatch" viewBox="0 0 44 14" width="44" height="14" aria-hidden="true">'
            f"{self.group(inner)}</svg>"
        )


# Okabe and Ito's colour-blind safe palette, lighter on black: the paper's rows in their order, then everybody else's.
_PAPER = (
    Look("#6e6e6e", "#b8b8b8", (), "P"),
    Look("#0072B2", "#56B4E9", (), "o"),
    Look("#C04F00", "#F08A4B", (7, 3), "s"),
    Look("#00805B", "#2CC295", (2, 2.5), "^"),
    Look("#B0578A", "#E39AC4", (7, 2, 2, 2), "D"),
    Look("#000000", "#ffffff", (), "v"),
)
# Of lengths without a common factor: the first 35 of the others differ in colour and dash, and in colour and marker.
_COLOURS = (
    ("#946500", "#E6B84D"),
    ("#3A6EA5", "#9CC4EE"),
    ("#7A5195", "#C3A0DD"),
    ("#A3262E", "#F2868C"),
    ("#00767A", "#4FC3C7"),
    ("#5F6B00", "#C2CF5A"),
    ("#7B4B2A", "#CE9B76"),
)
_DASHES: tuple[tuple[float, ...], ...] = ((4, 2, 1, 2, 1, 2), (11, 3), (3, 3), (9, 2, 3, 2), (1, 2))
_MARKERS = "X*sDv^oP"


def _other(place: int) -> Look:
    colour, dark = _COLOURS[place % len(_COLOURS)]
    return Look(colour, dark, _DASHES[place % len(_DASHES)], _MARKERS[place % len(_MARKERS)])


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """One fixed look a method, whatever else is in the suite; methods beyond the paper's take turns by name."""
    known = dict(zip(paper.LABELS, _PAPER, strict=True))
    others = sorted(set(methods) - known.keys())
    return {m: known[m] if m in known else _other(others.index(m)) for m in methods}
