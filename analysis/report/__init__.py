"""Everything on one page: verdicts, tables, figures, runs and their origin, in an HTML file that makes no request."""

from analysis.report.page import write_report

__all__ = ["write_report"]
