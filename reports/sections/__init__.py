"""The sections of the report, in the order of the page: one file each, and one line here."""

from reports.sections.about import ABOUT
from reports.sections.differences import DIFFERENCES
from reports.sections.differs import DIFFERS
from reports.sections.dynamics import DYNAMICS
from reports.sections.leakage import LEAKAGE
from reports.sections.runs import RUNS
from reports.sections.section import Section
from reports.sections.table2 import TABLE2
from reports.sections.verdict import VERDICT
from reports.sections.warnings import WARNINGS

SECTIONS: dict[str, Section] = {
    section.key: section
    for section in (VERDICT, DIFFERENCES, ABOUT, WARNINGS, TABLE2, LEAKAGE, DYNAMICS, DIFFERS, RUNS)
}
