"""What a reader must know before comparing rows."""

from reports.sections.section import Section, template
from reports.suite.comparable import warnings

WARNINGS = Section("warnings", warnings, template(__file__), json=lambda data: {"warnings": data})
