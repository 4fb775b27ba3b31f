"""`rsa-faces analyse`: what features tell beyond their geometry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from rsa_faces.cli._running import run_command

if TYPE_CHECKING:
    from rsa_faces.runs._run import Output, Run
    from rsa_faces.runs.analyse.config import AnalysesConfig


HELP = """\
Ask what features tell: read-out, transfer, congruence, robustness, groups and more.

Features are taken once from each network and kept; a run that was stopped goes on. Leaves a
table (CSV) and figures (SVG, PDF, PNG) for each question, a report and the provenance. The
questions are in the examples analyses, kdef and photographs; each is a function of
rsa_faces.analyses.
"""


def _kind() -> type[Run]:
    """Return the kind of run."""
    from rsa_faces.runs.analyse.run import AnalyseRun

    return AnalyseRun


def _tables(config: AnalysesConfig, output: Output) -> list[Table]:
    """Return the rows of each answer that a reader wants first."""
    from rsa_faces.runs.analyse.outputs import answer_table

    tables = []
    for question, (name, found) in zip(config.analyses, output.tables.items(), strict=True):
        answer = answer_table(question, name, found)
        caption = f"All rows and columns are in {name}.csv."
        if question.highest and len(answer.rows) < len(found):
            caption += " The highest is chosen on these data: its value is optimistic."
        table = Table(
            title=answer.caption,
            title_justify="left",
            caption=caption,
            caption_justify="left",
            box=None,
            pad_edge=False,
        )
        for column in answer.rows:
            right = column in answer.numbers
            table.add_column(column, justify="right" if right else "left", overflow="fold")
        for row in answer.rows.itertuples(index=False):
            table.add_row(*row)
        tables.append(table)
    return tables


run_command("analyse", HELP, _kind, _tables)
