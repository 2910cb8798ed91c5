"""A suite read, checked and computed once; every writer prints from this."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.findings.table import Table
from reports.sections import SECTIONS
from reports.sections.section import Section
from reports.suite.comparable import require_comparable
from reports.suite.read import Suite, load_suite


@dataclass(frozen=True)
class Contents:
    """The suite, and the sections that apply, each with its data, in the order of the page."""

    suite: Suite
    sections: tuple[tuple[Section, Any], ...]

    @property
    def tables(self) -> list[tuple[Section, Sequence[Table]]]:
        """The tables of each section that has any."""
        return [(section, tables) for section, data in self.sections if (tables := section.tables(data))]


def collect(folder: Path, select: Callable[[Suite], Suite] = lambda suite: suite) -> Contents:
    """What `select` makes of a suite. Raises UserError where `folder` is none or its runs were graded differently."""
    suite = select(load_suite(folder))
    require_comparable(suite.runs)
    computed = [(section, section.compute(suite)) for section in SECTIONS.values()]
    return Contents(suite, tuple((section, data) for section, data in computed if data is not None))
