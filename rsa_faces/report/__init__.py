"""Reports: tidy tables, one HTML page, a methods paragraph."""

from rsa_faces.report.methods import methods_text, references_used
from rsa_faces.report.page import (
    TABLES,
    Account,
    Picture,
    Table,
    answers,
    result_tables,
    write_report,
)
from rsa_faces.report.tables import write_results, write_table

__all__ = [
    "TABLES",
    "Account",
    "Picture",
    "Table",
    "answers",
    "methods_text",
    "references_used",
    "result_tables",
    "write_report",
    "write_results",
    "write_table",
]
