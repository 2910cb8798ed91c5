"""Rows of the official sets on the hub, their pictures left encoded."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.benches.bench import Bench
from eval.core.errors import UserError
from eval.core.tables import Raw

_ELSEWHERE = "use --data mini or --data <local file or folder>"


def hub_rows(bench: Bench, split: str, text_only: bool) -> Iterator[Raw]:
    """The rows of every config of a bench; `text_only` leaves the pictures out. Raises UserError."""
    import datasets

    if bench.hub is None:
        raise UserError(f"{bench.name}: is not on the hub, {_ELSEWHERE}")
    for config in bench.configs or (None,):
        name = f"{bench.hub} {config}" if config else bench.hub
        try:
            table = datasets.load_dataset(bench.hub, config, split=split)
        except Exception as error:  # `datasets` lets through whatever its network and file layers raise
            raise UserError(f"{bench.name}: {name}: {_mend(bench.hub, error)}") from error
        needed = {*bench.key, *bench.graded, *(() if text_only else bench.asked), bench.answer}
        if missing := sorted(needed - set(table.column_names)):
            raise UserError(
                f"{bench.name}: {name} has no column {missing[0]} (it has {', '.join(table.column_names)}); the set "
                f"has changed, {_ELSEWHERE} in the official columns"
            )
        for column, feature in table.features.items():
            if (undecoded := _undecoded(feature, datasets)) is not None:
                table = table.remove_columns(column) if text_only else table.cast_column(column, undecoded)
        for n, row in enumerate(table, 1):
            yield Raw(row, f"{name} {split} row {n}", Path())


def _undecoded(feature: Any, datasets: Any) -> Any:
    """The feature with its pictures left encoded, None for a column without pictures."""
    plain = datasets.Image(decode=False)
    if isinstance(feature, datasets.Image):
        return plain
    if isinstance(feature, datasets.List | datasets.LargeList) and isinstance(feature.feature, datasets.Image):
        return type(feature)(plain)
    return None


def _mend(hub: str, error: Exception) -> str:
    """What went wrong and what mends it, in one line; `datasets` hides the cause below exceptions of its own."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    causes = _causes(error)
    said = " ".join(str(error).split())[:300] or type(error).__name__
    if any(isinstance(e, GatedRepoError) or "is a gated dataset" in str(e) for e in causes):
        return (
            f"the set is gated; ask for access on https://huggingface.co/datasets/{hub}, log in with "
            f"`hf auth login` or set HF_TOKEN, or {_ELSEWHERE}"
        )
    if any(isinstance(e, DatasetNotFoundError | RepositoryNotFoundError) for e in causes):
        return f"not found on the hub ({said}); log in with `hf auth login` if it is private, or {_ELSEWHERE}"
    if any(isinstance(e, OfflineModeIsEnabled) or "OfflineModeIsEnabled" in str(e) for e in causes):
        return f"not in the cache, and HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set; unset it, or {_ELSEWHERE}"
    if any(getattr(e, "errno", None) == errno.ENOSPC or "Not enough disk space" in str(e) for e in causes):
        return f"the disk of the hub's cache is full ({said}); make room, or set HF_HOME to a larger disk"
    if any(str(e).startswith(("Unknown split", "Bad split")) for e in causes):
        return f"{said} Ask for one of these"
    if any(str(e).startswith(("BuilderConfig", "Config name is missing")) for e in causes):
        return f"the set's parts have changed ({said}); {_ELSEWHERE}"
    if any(isinstance(e, ConnectionError | TimeoutError) or _is_transport(e) for e in causes):
        return f"the hub cannot be reached ({said}); check the network, or {_ELSEWHERE}"
    return f"cannot be loaded ({said}); check the network and the cache, or {_ELSEWHERE}"


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _is_transport(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in ("httpx", "httpcore", "requests", "urllib3")
