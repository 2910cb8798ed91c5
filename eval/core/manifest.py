"""A folder that is whole: the file that is written last lists all others, with their sizes and contents.

So a folder is whole or not, whatever a kill, a power cut, a copy or a bad disk has left of it.
"""

from pathlib import Path
from typing import Any

from eval.core import files
from eval.core.errors import UserError

NAME = "complete.json"


def seal(folder: Path, **about: Any) -> None:
    """All that `folder` holds is on the disk, and listed there, when this returns."""
    listed = _files(folder)
    for path in (*folder.rglob("*"), folder, folder.parent):
        files.sync(path)
    hashes = {name: [path.stat().st_size, files.content_hash([path])] for name, path in listed.items()}
    files.write_json(folder / NAME, {**about, "files": hashes}, durable=True)


def fault(folder: Path) -> str | None:
    """What is not as it was sealed; None where the folder is whole. Raises UserError where a file cannot be read."""
    there, found = sealed(folder).get("files"), _files(folder)
    if not isinstance(there, dict):
        return f"{NAME} is missing or damaged"
    if lacking := sorted(there.keys() - found.keys()):
        return f"{lacking[0]} is missing"
    for name, written in there.items():
        try:
            same = [found[name].stat().st_size, files.content_hash([found[name]])] == written
        except OSError as error:
            raise UserError(f"{found[name]} cannot be read ({error.strerror}): mend its rights") from None
        if not same:
            return f"{name} is not as it was written"
    return None


def sealed(folder: Path) -> dict[str, Any]:
    """What the folder was sealed with; nothing where it was not."""
    return files.read_object(folder / NAME) or {}


def _files(folder: Path) -> dict[str, Path]:
    found = {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}
    found.pop(NAME, None)
    return found
