"""Rows of the official sets on the hub."""

from collections.abc import Iterator

from eval.benches import BENCHES
from eval.benches.columns import ANSWER, ASKED, GRADED
from eval.core.errors import UserError
from eval.core.tables import Raw, read_hub

ELSEWHERE = "use --data mini or --data <local file or folder> in the official columns"


def hub_rows(bench: str, split: str, text_only: bool) -> Iterator[Raw]:
    """The rows of every config of a bench; `text_only` leaves the pictures out. Raises UserError."""
    hub = BENCHES[bench].hub
    needed = {*GRADED[bench], *(() if text_only else ASKED[bench]), ANSWER[bench]}
    try:
        for config in BENCHES[bench].configs or (None,):
            yield from read_hub(hub, split, ELSEWHERE, config, needed=needed, pictures=not text_only)
    except UserError as error:
        raise UserError(f"{bench}: {error}") from error
