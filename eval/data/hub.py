"""Rows of the official sets on the hub."""

from collections.abc import Iterator

from eval.benches.bench import Bench
from eval.core.errors import UserError
from eval.core.tables import Raw, read_hub

ELSEWHERE = "use --data mini or --data <local file or folder> in the official columns"


def hub_rows(bench: Bench, split: str, text_only: bool) -> Iterator[Raw]:
    """The rows of every config of a bench; `text_only` leaves the pictures out. Raises UserError."""
    if bench.hub is None:
        raise UserError(f"{bench.name}: is not on the hub, {ELSEWHERE}")
    needed = {*bench.key, *bench.graded, *(() if text_only else bench.asked), bench.answer}
    try:
        for config in bench.configs or (None,):
            yield from read_hub(bench.hub, split, ELSEWHERE, config, needed=needed, pictures=not text_only)
    except UserError as error:
        raise UserError(f"{bench.name}: {error}") from error
