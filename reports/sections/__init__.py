"""The sections of the report, in the order of the page: one file each, and one line here."""

from reports.sections.about import ABOUT
from reports.sections.cost import COST
from reports.sections.differences import DIFFERENCES
from reports.sections.differs import DIFFERS
from reports.sections.dynamics import DYNAMICS
from reports.sections.leakage import LEAKAGE
from reports.sections.replies import REPLIES
from reports.sections.runs import RUNS
from reports.sections.section import Section
from reports.sections.table2 import TABLE2
from reports.sections.tokens import TOKENS_SECTION
from reports.sections.verdict import VERDICT

_ORDER = (VERDICT, ABOUT, DIFFERENCES, TABLE2, LEAKAGE, DYNAMICS, TOKENS_SECTION, REPLIES, DIFFERS, COST, RUNS)
SECTIONS: dict[str, Section] = {section.key: section for section in _ORDER}
