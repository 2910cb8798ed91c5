"""The picture behind a cell of a table, however it is written there; for benches and training data alike."""

import base64
import binascii
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from PIL import Image

from eval.core.images import Picture, Unusable

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{64,}={0,2}\s*")  # a shorter one is no picture, and a path has its dot
# What chat templates put in a picture's place: in a question it would ask the model for a picture that is not there.
PLACEHOLDER = re.compile(r"<\|[a-z_]*(?:image|video|vision|audio)[a-z_]*\|>|<IMG_CONTEXT>|<image_soft_token>")
Place = tuple[Path, Path]  # a folder, and a path that must stay in it


def picture(cell: Any, places: "Places") -> Picture:
    """The picture of a cell: bytes, `{bytes, path}` as the hub stores it, a path, a file:// or data URL, base64, or a
    decoded one. Raises Unusable, also for an address of the web, which is not fetched."""
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, str):
        return Picture(_written(cell, places))
    if not isinstance(cell, bytes | Image.Image):
        raise Unusable(f"it is {type(cell).__name__}")
    return Picture(cell)


class Places:
    """Where pictures that a table in `folder` names may lie: anywhere, or with no link or `..` leaving `root`."""

    def __init__(self, folder: Path, root: Path, allow_outside: bool) -> None:
        self.folder, self.root, self.allow_outside = folder, root, allow_outside

    def tried(self, name: str) -> Iterable[Place]:
        """Where to look, in this order."""
        return [(self.root, self.folder / name)]

    def find(self, name: str) -> Path | None:
        """The file of that name; None where there is none. A pipe or a device is none. Raises Unusable outside."""
        outside = False
        for folder, path in self.tried(name):
            if os.path.isfile(path):
                if self.allow_outside or Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
                    return Path(os.path.abspath(path))
                outside = True
        if outside:
            raise Unusable(f"{shown(name)} lies outside the data's folder; allow_outside=true reads it")
        return None


def _written(text: str, places: Places) -> bytes | Path:
    if text.startswith("data:"):
        head, _, body = text.partition(",")
        if not head.endswith(";base64"):
            raise Unusable("a data URL that is not in base64")
        return _decoded(body)
    scheme = _SCHEME.match(text)
    if scheme and scheme[1].lower() != "file":
        raise Unusable(f"{shown(text)} is a URL, which is not fetched: download it, and name the file")
    if found := places.find(unquote(urlsplit(text).path) if scheme else text):
        return found
    if _BASE64.fullmatch(text):
        return _decoded(text)
    raise Unusable(f"{shown(text)}: no such file")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Unusable("base64 that cannot be read") from None


def shown(text: str) -> str:
    """A name out of data as a message can hold it: short, in one line, nothing that a terminal obeys."""
    return text if text.isprintable() and len(text) <= 80 else ascii(text[:80])[1:-1]


def broken(text: str) -> bool:
    """Whether text holds half a character (a lone surrogate), which no tokenizer and no file takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
