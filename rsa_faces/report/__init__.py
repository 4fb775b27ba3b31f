"""Reports: tidy tables, one HTML page, a methods paragraph."""

from rsa_faces.report.methods import methods_text, references_used
from rsa_faces.report.page import Picture, answers, write_report
from rsa_faces.report.tables import write_results

__all__ = [
    "Picture",
    "answers",
    "methods_text",
    "references_used",
    "write_report",
    "write_results",
]
