"""Whether units look at the centre, and which of them data resemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from rsa_faces import analyses
from rsa_faces._core.configurations import key
from rsa_faces._core.words import number
from rsa_faces.rdm import load_rdms
from rsa_faces.runs._entries import Method
from rsa_faces.runs._held_out import not_corrected
from rsa_faces.runs.analyse.questions._base import Answer, Question, Study, people


class Topography(Question):
    """Units that look at the centre and at the rim; with `rdms`, which of them data resemble."""

    analysis: Literal["topography"] = key("Which question is asked.")
    rdms: Path | None = key("RDMs of brains or behaviour that units are compared with.", None)
    radius: float = key("Radius of the disc, as a share of the image.", 0.25, gt=0, lt=1)
    n_units: int | None = key("Units of each layer whose fields are measured.", 16, ge=1)
    method: Method = key("How RDMs are compared.", "rho-a")
    people: str | None = people()
    generalise_to: Literal["subjects", "conditions", "both"] = key(
        "What is drawn for intervals and tests.", "both"
    )

    renamed: ClassVar[Mapping[str, str]] = {"bootstrap": "generalise_to"}
    label_keys: ClassVar = ("people",)
    columns: ClassVar = (
        "region",
        "network",
        "layer",
        "field_share",
        "field_expected",
        "field_bias",
        "activation_bias",
        "n_units",
        "central",
        "peripheral",
        "difference",
        "ci_low",
        "ci_high",
        "p_corrected",
    )
    marks: ClassVar = (
        "Curves over layers: of fields, the share in a disc in the middle less what is "
        "expected (bands: middle half of the units); of data, similarity to central and to "
        "peripheral units (squares: difference with its interval)."
    )
    how: ClassVar = (
        "effective fields of units, and with data the similarity of central less that of "
        "peripheral units (two-sided t-tests, false discovery rate)"
    )
    generalises_to: ClassVar = ""
    meanings: ClassVar = {
        "unit": "channel of a map, or unit of a vector",
        "field_share": "share of the effective field inside the disc",
        "field_expected": "the disc's share of the image",
        "field_bias": "field share less what is expected: above 0 is central",
        "activation_share": "share of the absolute activation at places inside the disc",
        "activation_expected": "these places' share of all places",
        "activation_bias": "activation share less what is expected",
        "central": "mean similarity over subjects, places inside the disc",
        "peripheral": "mean similarity over subjects, places outside it",
        "difference": "central less peripheral",
        "sem": "standard error of the difference",
        "p": "two-sided t-test of the difference",
        "n_places": "places in each RDM",
        "n_units": "units that were measured",
    }

    @property
    def people_key(self) -> str:  # type: ignore[override]  # fields of units are nobody's
        """Whom the comparison with data is about."""
        return "people" if self.rdms else ""

    def figures(self, networks: Sequence[str]) -> list[str]:
        """Return one, or with data one of each network."""
        return [""] if self.rdms is None else list(networks)

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return means over units of each layer; with data every layer."""
        if "unit" not in table:
            return table
        groups = table.groupby(["network", "layer"], sort=False)
        means = groups.mean(numeric_only=True).drop(columns="unit", errors="ignore")
        return means.assign(n_units=groups.size()).reset_index()

    def findings(self, table: pd.DataFrame) -> list[str]:
        """Return the most central layer of each network; with data the largest difference."""
        rows = self.rows(table)
        if "difference" in rows:
            best = rows.loc[rows["difference"].abs().groupby(rows["network"]).idxmax()]
            return [
                f"{row.network}, {row.layer}, {row.region or 'the data'}: central less peripheral "
                f"{number(row.difference)} (95 % interval {number(row.ci_low)} to "
                f"{number(row.ci_high)}, {row.n_subjects} subjects"
                f"{_of(rows, row.network)})."
                for row in best.itertuples()
            ]
        rows = rows[rows["field_bias"].notna()]
        best = rows.loc[rows.groupby("network", sort=False)["field_bias"].idxmax()]
        return [
            f"{row.network}: most central in layer {row.layer}, {row.field_share:.2f} of the field "
            f"in the disc ({row.field_expected:.2f} expected; mean of {row.n_units} units"
            f"{_of(rows, row.network)})."
            for row in best.itertuples()
        ]

    def answer(self, study: Study) -> Answer:
        """Measure fields, or compare centre and rim with data."""
        from rsa_faces.figures import plot_central_bias, plot_topography

        if self.rdms is None:
            table = pd.concat(
                [
                    analyses.central_bias(
                        study.network(name),
                        list(activations),
                        radius=self.radius,
                        n_units=self.n_units,
                        budget=study.budget,
                        seed=study.seed,
                        progress=False,
                    )
                    for name, activations in study.features.items()
                ]
            )
            return table, [plot_central_bias(table)]
        data = load_rdms(self.rdms)
        tables, figures = [], []
        for name, activations in study.features.items():
            rdms = analyses.topographic_rdms(
                study.network(name),
                activations,
                radius=self.radius,
                budget=study.budget,
                seed=study.seed,
                progress=False,
            )
            result = analyses.compare_topography(
                rdms,
                data,
                method=self.method,
                generalise_to=self.generalise_to,
                groups=study.column(self.people),
                seed=study.seed,
            )
            tables.append(result.table)
            figures.append(plot_topography(result))
        return pd.concat(tables), figures


def _of(rows: pd.DataFrame, network: str) -> str:
    """Say from how many layers one was chosen."""
    text = not_corrected(rows.loc[rows["network"] == network, "layer"].nunique())
    return f"; {text}" if text else ""
