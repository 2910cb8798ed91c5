"""Heat maps of token credit, as in the paper's Figure 6: as a page with numbers under the pointer, and as a picture.

Shaded within each reply's own range around its median, for that is what a method makes of one advantage; a reply
whose tokens all get the same stays white. Orange and purple (ColorBrewer's PuOr) are told apart by everybody.
"""

import html
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

LESS, MORE = (179, 88, 6), (84, 39, 136)
STRONGEST = 0.75  # how much of the colour the extreme of a reply gets, so that its text stays readable
LINE = 100  # characters of a line of the picture


def shades(advantage_T: np.ndarray) -> list[tuple[int, int, int]]:
    """A colour for each token: purple above the reply's median, orange below, white at it."""
    apart_T = advantage_T - np.median(advantage_T)
    widest = np.abs(apart_T).max(initial=0.0)
    if widest < 1e-6:
        return [(255, 255, 255)] * len(apart_T)
    return [_mix(MORE if apart > 0 else LESS, STRONGEST * abs(apart) / widest) for apart in apart_T]


def _mix(colour: tuple[int, int, int], part: float) -> tuple[int, int, int]:
    red, green, blue = (round(255 + (channel - 255) * part) for channel in colour)
    return red, green, blue


def _replies(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    found = []
    for b, reply in frame.groupby("rollout"):
        advantage = reply["advantage"]
        span = f"credit {advantage.min():+.3f} to {advantage.max():+.3f}"
        found.append((f"rollout {b}, reward {reply['reward'].iloc[0]:g}, {span}", reply))
    return found


def page(frames: dict[str, pd.DataFrame], title: str) -> str:
    """One self-contained HTML page: by method, each reply with Delta, weight and credit of every token on hover."""
    parts = [
        "<!doctype html><meta charset='utf-8'>",
        f"<title>{html.escape(title)}</title>",
        "<style>body{font:16px/1.9 monospace;max-width:70em;margin:2em auto;padding:0 1em;color:#111;background:#fff}"
        "p{font:14px sans-serif;color:#444;margin:1em 0 0}span{padding:.15em 0;border-radius:2px;white-space:pre-wrap}"
        "</style>",
        f"<h1>{html.escape(title)}</h1><p>Purple: more credit than the reply's median, orange: less.</p>",
    ]
    for name, frame in frames.items():
        parts.append(f"<h2>{html.escape(name)}</h2>")
        for label, reply in _replies(frame):
            parts.append(f"<p>{html.escape(label)}</p><div>{''.join(_spans(reply))}</div>")
    return "\n".join(parts) + "\n"


def _spans(reply: pd.DataFrame) -> list[str]:
    spans = []
    columns = (reply[name].tolist() for name in ("token", "delta", "weight", "advantage"))
    for colour, token, gap, weight, advantage in zip(shades(reply["advantage"].to_numpy()), *columns, strict=True):
        delta = "–" if math.isnan(gap) else f"{gap:+.3f}"
        told = f"Δ {delta}, w {weight:.3f}, Â {advantage:+.3f}"
        back = "#{:02x}{:02x}{:02x}".format(*colour)
        spans.append(f'<span style="background:{back}" title="{told}">{html.escape(str(token))}</span>')
    return spans


def picture(frames: dict[str, pd.DataFrame], path: Path) -> None:
    """The same as a PNG, in lines of LINE characters."""
    lines: list[list[tuple[str, tuple[int, int, int]]]] = []
    for name, frame in frames.items():
        for label, reply in _replies(frame):
            lines += [[(f"{name}: {label}", (255, 255, 255))], *_wrapped(reply), []]
    with mpl.rc_context({"font.family": "monospace", "font.size": 8}):
        figure = Figure(figsize=(LINE * 0.075, max(1.0, len(lines) * 0.2)))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, LINE + 4), ylim=(len(lines) + 0.5, -0.5))
        axes.set_axis_off()
        for y, line in enumerate(lines):
            x = 1
            for text, colour in line:
                face = tuple(channel / 255 for channel in colour)
                axes.add_patch(Rectangle((x, y - 0.45), len(text), 0.9, facecolor=face, linewidth=0))
                for i, character in enumerate(text):  # one by one: no font is exactly as wide as the grid
                    axes.text(x + i + 0.5, y, character, ha="center", va="center", parse_math=False)
                x += len(text)
        figure.savefig(path, dpi=130, format="png")


def _wrapped(reply: pd.DataFrame) -> list[list[tuple[str, tuple[int, int, int]]]]:
    lines: list[list[tuple[str, tuple[int, int, int]]]] = [[]]
    for text, colour in zip(reply["token"], shades(reply["advantage"].to_numpy()), strict=True):
        shown = str(text).replace("\n", "↵")
        if sum(len(t) for t, _ in lines[-1]) + len(shown) > LINE and lines[-1]:
            lines.append([])
        lines[-1].append((shown[:LINE], colour))
    return lines
