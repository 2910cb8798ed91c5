"""A folder is whole or not."""

from pathlib import Path

import pytest

from eval.core import manifest
from eval.core.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "whole" / "below").mkdir(parents=True)
    (tmp_path / "whole" / "weights").write_bytes(bytes(1000))
    (tmp_path / "whole" / "below" / "more").write_text("more")
    manifest.seal(tmp_path / "whole", step=3)
    return tmp_path / "whole"


def test_a_sealed_folder_is_whole(folder: Path) -> None:
    assert manifest.fault(folder) is None
    assert manifest.sealed(folder)["step"] == 3
    (folder / "later").write_text("what comes later is none of it")
    assert manifest.fault(folder) is None


def test_it_is_not_whole_any_more(folder: Path) -> None:
    content = bytearray((folder / "weights").read_bytes())
    content[500] ^= 4
    (folder / "weights").write_bytes(content)
    assert manifest.fault(folder) == "weights is not as it was written"
    (folder / "below" / "more").unlink()
    assert manifest.fault(folder) == "below/more is missing"
    (folder / "complete.json").write_text('{"files')
    assert manifest.fault(folder) == "complete.json is missing or damaged"


def test_what_cannot_be_read_is_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(manifest.files, "content_hash", refused)
    with pytest.raises(UserError, match="cannot be read"):
        manifest.fault(folder)
