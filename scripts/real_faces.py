"""Ask the questions of rsa_faces.analyses of real faces; one tidy table of numbers, and figures.

    python scripts/real_faces.py DATA --out FOLDER
    python scripts/real_faces.py DATA --out FOLDER --only readout robustness
    python scripts/real_faces.py DATA --out FOLDER --quick     99 permutations for 999, and only
                                                               the strongest degradations
    python scripts/real_faces.py DATA --out FOLDER --layers 4  of each network, evenly spaced

DATA is a folder with `london` (Face Research Lab London Set, DeBruine and Jones 2017,
doi:10.6084/m9.figshare.5047666, CC BY 4.0: images, images.csv, info.csv, landmarks.npz) and, for
what needs them, `psa001` (Jones et al. 2021: mean ratings), `facesim3d` (Hofmann et al. 2025:
similarity of 100 heads) and `jozwik2022` (Jozwik et al. 2022: coordinates of a face model). None
of it is copied. FOLDER/numbers.csv gets one row per number (part, network, layer, quantity, group,
value, ci_low, ci_high, p, n), FOLDER/tables what each function returned, FOLDER/figures what is
drawn of it, FOLDER/activations the features, which are not made again.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import rsa_faces as rf
from rsa_faces import analyses, figures
from rsa_faces.analyses._gram import grams
from rsa_faces.behaviour import feature_contrast
from rsa_faces.networks.training import area_under_roc
from rsa_faces.stimuli.turning import turn_faces

TRAINED_FOR = {
    "sface": "identity",
    "dlib-face": "identity",
    "face-api-expression": "expression",
    "mini-xception": "expression",
    "efficientnet-lite0": "objects",
}
COLUMNS = ("part", "network", "layer", "quantity", "group", "value", "ci_low", "ci_high", "p", "n")


class Turned(dict):
    """Patterns by layer, with the names of their rows."""

    conditions: tuple[str, ...]
    network: str
    depth: dict[str, float]


class Study:
    """The London faces, features of the networks, and the numbers found so far."""

    def __init__(self, data: Path, out: Path, quick: bool, n_layers: int | None = None) -> None:
        self.data, self.out, self.quick, self.n_layers = data, out, quick, n_layers
        self.n = 99 if quick else 999
        self.numbers: list[dict] = []
        self.part = ""
        for name in ("tables", "figures", "activations"):
            (out / name).mkdir(parents=True, exist_ok=True)

    @functools.cached_property
    def stimuli(self):
        """All photographs."""
        london = self.data / "london"
        return rf.load_stimuli(london / "images", manifest=london / "images.csv")

    @functools.cached_property
    def labels(self) -> pd.DataFrame:
        """Person, expression and what people said of themselves, by photograph."""
        info = pd.read_csv(self.data / "london" / "info.csv", dtype=str).set_index("face_id")
        labels = self.stimuli.metadata[["identity", "expression"]].copy()
        info = info.loc[labels["identity"]].set_axis(labels.index)
        return labels.assign(
            gender=info["face_gender"],
            ethnicity=info["face_eth"],
            age=pd.to_numeric(info["face_age"]),
        )

    @functools.cached_property
    def points(self) -> dict[str, np.ndarray]:
        """Landmarks of the neutral faces."""
        return analyses.read_landmarks(self.data / "london" / "landmarks.npz")

    @functools.cached_property
    def space(self):
        """Shape and appearance of the neutral faces."""
        return analyses.face_space(self.stimuli, self.points, match="intersection", progress=False)

    @functools.cached_property
    def found(self):
        """Where the faces are."""
        return rf.detect_faces(self.stimuli, progress=False)

    @functools.cache  # noqa: B019
    def network(self, name: str):
        """Return a network."""
        return rf.load_network(name)

    @functools.cache  # noqa: B019
    def crops(self, name: str):
        """Return the faces as a network was trained to see them."""
        return rf.crop_faces(self.stimuli, self.found, **self.network(name).spec.crop_options)

    @functools.cache  # noqa: B019
    def acts(self, name: str):
        """Return the activations of all layers, or of those asked for."""
        store, layers = self.out / "activations", "all"
        if self.n_layers is not None:
            every = self.network(name).layers()
            places = np.linspace(0, len(every) - 1, min(self.n_layers, len(every)))
            layers = [every[i] for i in places.round().astype(int)]
        return rf.extract(
            self.network(name), self.crops(name), layers=layers, store=store, progress=False
        )

    @functools.cache  # noqa: B019
    def turned(self, name: str) -> Turned:
        """Return the activations of all layers, turned into as many dimensions as photographs.

        Inner products of centred patterns stay as they are, and linear read-outs, subspaces, CKA
        and Procrustes depend on nothing else: the same results, many times faster.
        """
        acts, out = self.acts(name), Turned()
        for layer in acts:
            (products,), _ = grams(
                np.asarray(acts[layer]), [np.arange(len(acts.conditions))], standardize=False
            )
            values, vectors = np.linalg.eigh(products)
            out[layer] = vectors * np.sqrt(np.maximum(values, 0))
        out.conditions, out.network, out.depth = acts.conditions, acts.network, acts.depth
        return out

    def note(
        self,
        quantity,
        value,
        *,
        network="",
        layer="",
        group="",
        low=np.nan,
        high=np.nan,
        p=np.nan,
        n=np.nan,
    ) -> None:
        """Keep a number."""
        row = (self.part, network, layer, quantity, group, value, low, high, p, n)
        self.numbers.append(dict(zip(COLUMNS, row, strict=True)))

    def keep(self, name: str, table: pd.DataFrame, figure=None) -> None:
        """Write a table and its figure."""
        table.to_csv(self.out / "tables" / f"{name}.csv", index=False)
        if figure is not None:
            figures.save_figure(figure, self.out / "figures" / name)
            plt.close(figure)


def readout(study: Study) -> None:
    """1: what each layer tells of expression, identity, gender, age; what transfers to what."""
    labels = study.labels
    of = {
        "expression": {"labels": labels["expression"], "across": labels["identity"]},
        "identity": {
            "labels": labels["identity"],
            "across": labels["expression"],
            "people": labels["identity"],
        },
        "gender": {"labels": labels["gender"], "across": labels["identity"]},
        "age": {
            "labels": labels["age"].dropna(),
            "kind": "number",
            "match": "intersection",
            "across": labels["identity"][labels["age"].notna()],
        },
    }
    for task, arguments in of.items():
        results = []
        for name in TRAINED_FOR:
            found = analyses.readout(
                study.turned(name), **arguments, task=task, n_permutations=study.n, progress=False
            )
            results.append(found)
            score = "accuracy" if found.classes else "r"
            best = found.table[score].idxmax()
            for what, row in (
                ("last layer", found.table.iloc[-1]),
                ("highest of all layers", found.table.loc[best]),
            ):
                p = row["p"] if what == "last layer" else row["p_corrected"]
                study.note(
                    f"{score} of {task}, {what}",
                    row[score],
                    network=name,
                    layer=row["layer"],
                    low=row["ci_low"],
                    high=row["ci_high"],
                    p=p,
                    n=row["n_people"],
                )
        study.keep(
            f"readout {task}", pd.concat([r.table for r in results]), figures.plot_readout(results)
        )
    of.pop("age")
    table = analyses.transfer_matrix(
        {f"{name} ({what})": study.turned(name) for name, what in TRAINED_FOR.items()},
        of,
        n_permutations=study.n,
        progress=False,
    )
    study.keep("transfer", table, figures.plot_transfer(table))


def congruence(study: Study) -> None:
    """2: whether identity and expression share directions, layer by layer."""
    results = []
    for name in TRAINED_FOR:
        found = analyses.congruence(
            study.turned(name),
            study.labels["identity"],
            study.labels["expression"],
            names=("identity", "expression"),
            n_permutations=study.n,
            progress=False,
        )
        results.append(found)
        for row in (found.table.iloc[0], found.table.iloc[-1]):
            study.note(
                "congruence of identity and expression",
                row["congruence"],
                network=name,
                layer=row["layer"],
                p=row["p_less"],
                n=row["n_conditions"],
            )
            study.note(
                "mean of permuted labels",
                row["null_mean"],
                network=name,
                layer=row["layer"],
                low=row["null_low"],
                high=row["null_high"],
            )
            study.note(
                "congruence freed of noise", row["corrected"], network=name, layer=row["layer"]
            )
        depth = np.arange(len(found.table))
        trend = pd.Series(depth).corr(found.table["congruence"], method="spearman")
        study.note("rank correlation of congruence with depth", trend, network=name, n=len(depth))
    table = pd.concat([result.table for result in results])
    study.keep("congruence", table, figures.plot_congruence(results))


def face_space(study: Study) -> None:
    """3: 25 + 25 dimensions; faces left out; axes of simulated cells and of units of networks."""
    space = study.space
    for part, share in space.components.groupby("part")["cumulative"].max().items():
        study.note(f"variance explained by 25 components of {part}", share, n=102)
    study.keep("face space", space.components, figures.plot_components(space, 3))
    names = list(space.conditions)
    shown = [names[i] for i in (0, 20, 50)]
    faces = [space.reconstruct(shown), space.caricature(shown, 1.5), space.antiface(shown)]
    for label, made in zip(("reconstructed", "caricatures", "anti-faces"), faces, strict=True):
        study.keep(f"faces {label}", made.table, figures.plot_faces(made))
        study.note(f"{label} inside the convex region", made.table["inside"].mean(), n=len(made))
    made = space.morph(shown[0], shown[2])
    study.keep("faces morphed", made.table, figures.plot_faces(made))
    study.keep("faces sampled", *_drawn(space.sample(7, seed=0)))
    hits = _left_out(study)
    study.note("left-out face nearest to its own reconstruction, of 102", np.mean(hits), n=102)
    x, rng = space.coordinates, np.random.default_rng(0)
    weights = rng.normal(size=(x.shape[1], 50))
    planted = x @ (weights / np.linalg.norm(weights, axis=0))
    planted.columns = [f"simulated axis cell {i + 1}" for i in range(50)]
    center = rng.normal(size=(20, x.shape[1]))
    far = ((x.to_numpy()[:, None] - center) ** 2).sum(axis=2)
    exemplar = pd.DataFrame(
        np.exp(-far / 100), x.index, [f"simulated exemplar cell {i + 1}" for i in range(20)]
    )
    cells = pd.concat([planted, (exemplar - exemplar.mean()) / exemplar.std() * 2], axis=1)
    cells += rng.normal(size=cells.shape)
    found = analyses.axis_tuning(space, cells, n_permutations=study.n, progress=False)
    study.keep(
        "cells simulated",
        found.table,
        figures.plot_axis_tuning(found, ["simulated axis cell 1", "simulated exemplar cell 1"]),
    )
    kind = found.table["cell"].str.extract("simulated (axis|exemplar)")[0]
    for what in ("axis", "exemplar"):
        rows = found.table[(kind == what).to_numpy()]
        study.note(
            "share with an axis (p ≤ .05)",
            (rows["p"] <= 0.05).mean(),
            group=f"simulated {what} cells",
            n=len(rows),
        )
        study.note(
            "share not flat beside the axis (p ≤ .05)",
            (rows["p_orthogonal"] <= 0.05).mean(),
            group=f"simulated {what} cells",
            n=len(rows),
        )
    for name in TRAINED_FOR:
        _units(study, name)


def _units(study: Study, name: str) -> None:
    """Axes of a network's last units, and faces decoded from them."""
    space = study.space
    names = list(space.conditions)
    layer = list(study.acts(name))[-1]
    units = pd.DataFrame(np.asarray(study.acts(name)[layer]), study.acts(name).conditions)
    units = units.loc[names]
    units.columns = [f"unit {i + 1}" for i in range(units.shape[1])]
    units = units.loc[:, units.std() > 0].iloc[:, :128]
    found = analyses.axis_tuning(space, units, n_permutations=99, progress=False).table
    study.keep(f"units {name}", found)
    common = {"network": name, "layer": layer, "n": len(found)}
    study.note("units with an axis (p ≤ .05)", (found["p"] <= 0.05).mean(), **common)
    study.note("median r of held-out responses", found["r"].median(), **common)
    study.note(
        "units not flat beside the axis (p ≤ .05)", (found["p_orthogonal"] <= 0.05).mean(), **common
    )
    study.note(
        "median preference, -1 appearance to 1 shape", found["preference"].median(), **common
    )
    decoded = analyses.decode_faces(space, units, n_permutations=99, progress=False)
    study.keep(f"decoding {name}", decoded.table, figures.plot_identification(decoded))
    last = decoded.table[decoded.table["n_distractors"] == 9].iloc[-1]
    study.note("face found among 10 from all units", last["accuracy"], p=last["p"], **common)


def _drawn(made):
    """Return the table of made faces, and their picture."""
    return made.table, figures.plot_faces(made)


def _left_out(study: Study, n_folds: int = 5) -> np.ndarray:
    """Return whether faces left out of a space are rebuilt more like themselves than others."""
    names = np.array(study.space.conditions)
    fold = np.random.default_rng(0).permutation(len(names)) % n_folds
    made, real = [], []
    for k in range(n_folds):
        rest = {name: study.points[name] for name in names[fold != k]}
        space = analyses.face_space(study.stimuli, rest, match="intersection", progress=False)
        asked = list(names[fold == k])
        codes = space.encode(study.stimuli.subset(asked), {n: study.points[n] for n in asked})
        made.append(space.reconstruct(codes).images.reshape(len(asked), -1)[:, ::20])
        real.append(study.space.reconstruct(asked).images.reshape(len(asked), -1)[:, ::20])
    made, real = (np.concatenate(part).astype(np.float32) for part in (made, real))
    distance = (real**2).sum(axis=1) - 2 * made @ real.T
    return distance.argmin(axis=1) == np.arange(len(made))


def landmarks(study: Study) -> None:
    """4: which measurements of faces layers tell, beyond the size of the face."""
    measured = analyses.measure_landmarks(study.points)
    size = analyses.face_size(study.points)[["size"]]
    for name in TRAINED_FOR:
        found = analyses.landmark_readout(
            study.turned(name),
            measured,
            baseline=size,
            match="intersection",
            n_permutations=study.n,
            progress=False,
        )
        study.keep(f"landmarks {name}", found.table, figures.plot_landmark_readout(found))
        last = found.table[found.table["layer"] == found.table["layer"].iloc[-1]]
        best = found.table.loc[found.table.groupby("measurement")["r"].idxmax()]
        for what, rows in (("last layer", last), ("highest of all layers", best)):
            for row in rows.itertuples():
                study.note(
                    f"r of {row.measurement}, {what}",
                    row.r,
                    network=name,
                    layer=row.layer,
                    low=row.ci_low,
                    high=row.ci_high,
                    p=row.p_corrected,
                    n=row.n_people,
                )
                study.note(
                    f"r of {row.measurement} beyond size, {what}",
                    row.r_beyond,
                    network=name,
                    layer=row.layer,
                    p=row.p_beyond_corrected,
                    n=row.n_people,
                )
    for row in last.itertuples():
        study.note(f"r of {row.measurement} from size alone", row.baseline_r, n=row.n_people)


def robustness(study: Study) -> None:
    """5: RDMs and recognition against degradation; confidence on people who did not set it."""
    who, results = study.labels["identity"], []
    for name in TRAINED_FOR:
        found = analyses.robustness(
            study.network(name),
            study.crops(name),
            identity=who,
            progress=False,
            strengths=[5] if study.quick else (1, 2, 3, 4, 5),
        )
        results.append(found)
        clean = found.table[found.table["degradation"] == "none"].iloc[0]
        study.note(
            "AUC of clean images",
            clean["auc"],
            network=name,
            layer=clean["layer"],
            low=clean["auc_low"],
            high=clean["auc_high"],
            n=clean["n_people"],
        )
        for row in found.table.query("strength == 5").itertuples():
            for what in ("stability", "auc"):
                low, high = getattr(row, f"{what}_low"), getattr(row, f"{what}_high")
                study.note(
                    f"{what} at strength 5",
                    getattr(row, what),
                    network=name,
                    layer=row.layer,
                    group=row.degradation,
                    low=low,
                    high=high,
                    n=row.n_people,
                )
    table = pd.concat([r.table for r in results])
    study.keep("robustness RDMs", table, figures.plot_robustness(results))
    study.keep("robustness recognition", table, figures.plot_robustness(results, value="auc"))
    for name in ("sface", "dlib-face"):
        _confidence(study, name)


def views(study: Study) -> None:
    """5, pose: recognition of photographs that are turned in space."""
    boxes = rf.crop_faces(study.stimuli, study.found, template="box")
    points = rf.networks.detect_landmarks(boxes)
    who = study.labels["identity"].to_numpy()
    same = who[:, None] == who
    pairs = ~np.eye(len(who), dtype=bool)
    rows = []
    for yaw in (-45, -30, -15, 15, 30, 45):
        turned = turn_faces(boxes, points, yaw)
        found = rf.detect_faces(turned, progress=False)
        study.note(
            "faces found",
            1 - len(found.missing) / len(turned),
            group=f"yaw {yaw:+d}",
            n=len(turned),
        )
        for name in TRAINED_FOR:
            crops = rf.crop_faces(
                turned, found, missing="leave-out", **study.network(name).spec.crop_options
            )
            layer = list(study.acts(name))[-1]
            seen = rf.extract(study.network(name), crops, layers=[layer], progress=False)
            there = [study.stimuli.ids.index(i) for i in crops.ids]
            probe, known = np.asarray(seen[layer]), np.asarray(study.acts(name)[layer])
            a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (probe, known))
            use = pairs[there]
            auc = area_under_roc((a @ b.T)[use], same[there][use])
            rows.append({"network": name, "yaw": yaw, "auc": auc})
            study.note(
                "AUC, turned against the other photograph",
                auc,
                network=name,
                layer=layer,
                group=f"yaw {yaw:+d}",
                n=len(there),
            )
    study.keep("views", pd.DataFrame(rows))


def _confidence(study: Study, name: str) -> None:
    """Flags, stability and intervals of one network, by group."""
    labels = study.labels
    checked = analyses.check_confidence(
        study.network(name),
        study.crops(name),
        labels["identity"],
        groups=labels["gender"],
        degradations=["blur", "low-light", "resolution", "jpeg"],
        progress=False,
        strengths=[5] if study.quick else (1, 2, 3, 4, 5),
        n_variants=2 if study.quick else 8,
    )
    for value in ("share", "stability", "covered"):
        figure = figures.plot_flags(checked.table, value=value)
        study.keep(f"confidence {name} {value}", checked.table, figure)
    for row in checked.table.itertuples():
        if row.strength not in (0, 5):
            continue
        common = {
            "network": name,
            "n": row.n_people,
            "group": f"{row.degradation} {row.strength}, {row.group}",
        }
        study.note("flagged", row.share, low=row.low, high=row.high, **common)
        study.note(
            "stability", row.stability, low=row.stability_low, high=row.stability_high, **common
        )
        study.note("covered", row.covered, low=row.covered_low, high=row.covered_high, **common)
    rows = []
    for (kind, strength), part in checked.images.groupby(["degradation", "strength"], sort=False):
        flags = part.set_index("condition")[["flagged"]]
        rates = analyses.flag_rates(flags, labels["ethnicity"], people=labels["identity"])
        rows.append(rates.assign(degradation=kind, strength=strength))
    rates = pd.concat(rows)
    study.keep(f"flags {name} by ethnicity", rates, figures.plot_flags(rates))
    people = labels.groupby("ethnicity")["identity"].nunique()
    for row in rates.itertuples():
        if row.strength in (0, 5) and row.group != "all":
            study.note(
                "flagged",
                row.share,
                network=name,
                low=row.low,
                high=row.high,
                group=f"{row.degradation} {row.strength}, {row.group}",
                n=people[row.group],
            )


def embedding_map(study: Study) -> None:
    """6: recognition across networks against the number of pairs; distance of shapes."""
    who = study.labels["identity"]
    for pairing in analyses.embedding_map.__globals__["PAIRINGS"]:
        found = {}
        for name in TRAINED_FOR:
            if name == "sface":
                continue
            one = analyses.embedding_map(
                study.acts(name),
                study.acts("sface"),
                who,
                pairing=pairing,
                n_folds=3,
                n_pairs=[10, 20, 50, 100],
                progress=False,
            )
            found[f"{name} to sface"] = one
            for row in one.table.itertuples():
                if row.map not in ("ridge", "procrustes", "source"):
                    continue
                study.note(
                    f"AUC, {row.map}, {row.n_pairs} pairs ({pairing})",
                    row.auc,
                    network=f"{name} to sface",
                    low=row.auc_low,
                    high=row.auc_high,
                    n=row.n_people,
                )
            last = one.table[one.table["map"] == "ridge"].iloc[-1]
            for far in ("0.1", "0.01", "0.001", "0.0001"):
                study.note(
                    f"TAR at FAR {far}, ridge, {last['n_pairs']} pairs ({pairing})",
                    last[f"tar@{float(far):g}"],
                    network=f"{name} to sface",
                    n=last["n_different"],
                )
        table = pd.concat([one.table.assign(maps=name) for name, one in found.items()])
        study.keep(f"maps {pairing}", table, figures.plot_embedding_map(found))
    for name in TRAINED_FOR:
        if name != "sface":
            one = analyses.shape_distance(study.acts(name), study.acts("sface"), who)
            study.note(
                "shape distance (radians)",
                one["distance"],
                network=f"{name} to sface",
                low=one["ci_low"],
                high=one["ci_high"],
                n=one["n_people"],
            )


def demographics(study: Study) -> None:
    """7: components, scores and false matches by self-reported groups."""
    labels = study.labels[study.labels["ethnicity"] != "east_asian/white"]  # one person
    groups, who = labels[["gender", "ethnicity"]], labels["identity"]
    for name in ("sface", "dlib-face", "face-api-expression", "efficientnet-lite0"):
        scores = analyses.similarity_scores(study.acts(name))
        scores = scores.loc[list(labels.index), list(labels.index)]
        found = analyses.group_components(scores, groups, people=who, n_permutations=10 * study.n)
        for attribute in groups:
            study.keep(
                f"components {name} by {attribute}",
                found.table,
                figures.plot_group_components(found, attribute=attribute),
            )
            rows = found.table[found.table["attribute"] == attribute]
            top = rows.loc[rows["between_group_share"].idxmax()]
            component = f"component {top['component']} ({top['explained']:.0%} of variance)"
            study.note(
                f"largest between-group share, {component}",
                top["between_group_share"],
                network=name,
                group=attribute,
                p=top["p_max"],
                n=top["n_people"],
            )
            study.note(
                f"clustering index C_k, {component}",
                top["clustering_index"],
                network=name,
                group=attribute,
                n=top["n_people"],
            )
            one = analyses.score_distributions(
                scores, groups[attribute], people=who, n_permutations=10 * study.n
            )
            study.keep(
                f"scores {name} by {attribute}", one.table, figures.plot_score_distributions(one)
            )
            row = one.summary.iloc[0]
            study.note(
                "score within less between groups",
                row["difference"],
                network=name,
                group=attribute,
                low=row["ci_low"],
                high=row["ci_high"],
                p=row["p"],
                n=row["n_people"],
            )
            matches = analyses.false_matches(
                scores, groups[attribute], people=who, fmr=0.01, n_permutations=10 * study.n
            )
            study.keep(
                f"false matches {name} by {attribute}",
                matches.table,
                figures.plot_false_matches(matches),
            )
            for row in matches.groups.itertuples():
                study.note(
                    "false matches within the group, at 1 % overall",
                    row.fmr,
                    network=name,
                    group=row.group,
                    low=row.ci_low,
                    high=row.ci_high,
                    p=row.p_max,
                    n=row.n_people,
                )


def contrast(study: Study) -> None:
    """What organises each layer: who it is, expression, gender, ethnicity."""
    labels = study.labels
    features = {"identity": labels["identity"], **labels[["expression", "gender", "ethnicity"]]}
    for name in TRAINED_FOR:
        rdms = rf.compute_rdms(study.acts(name))
        found = feature_contrast(
            rdms, features, people=labels["identity"].to_dict(), n_permutations=study.n
        )
        study.keep(f"contrast {name}", found, figures.plot_contrast(found))
        for row in found.itertuples():
            study.note(
                "distance between less within groups (s.d.)",
                row.contrast,
                network=name,
                layer=row.layer,
                group=row.feature,
                p=row.p,
                n=row.n_conditions,
            )


def erasure(study: Study) -> None:
    """What an embedding still tells of gender and ethnicity once they are erased, and the cost."""
    labels = study.labels[study.labels["ethnicity"].isin(["white", "black", "east_asian"])]
    for name, what in itertools.product(("sface", "dlib-face"), ("gender", "ethnicity")):
        layer, patterns = list(study.turned(name).items())[-1]
        rows = [study.acts(name).conditions.index(c) for c in labels.index]
        found = analyses.erase_groups(
            {layer: patterns[rows]},
            labels[what],
            labels["identity"],
            conditions=list(labels.index),
            n_permutations=19 if study.quick else 99,
        )
        study.keep(f"erasure {name} of {what}", found.table, found.plot())
        for row in found.table.itertuples():
            study.note(
                f"{row.what}, {row.embedding}",
                row.value,
                network=name,
                layer=layer,
                group=what,
                low=row.ci_low,
                high=row.ci_high,
                p=row.p,
                n=row.n_people,
            )


def occlusion(study: Study) -> None:
    """Which hidden part changes the answer most."""
    neutral = study.labels.index[study.labels["expression"] == "neutral"]
    shown = list(neutral[:: 5 if study.quick else 1])
    for name in ("dlib-face", "face-api-expression"):
        crops = study.crops(name).subset(shown)
        found = analyses.occlusion_map(study.network(name), crops, n_places=5, progress=False)
        study.keep(f"occlusion {name}", found.table, figures.plot_occlusion(found))
        for row in found.table.sort_values("change").iloc[[0, -1]].itertuples():
            study.note(
                "change of the embedding, least and most",
                row.change,
                network=name,
                group=f"x {row.x:.1f}, y {row.y:.1f}",
                low=row.ci_low,
                high=row.ci_high,
                p=row.p_corrected,
                n=row.n_people,
            )


def traits(study: Study) -> None:
    """9: reliability of ratings of 120 faces, and what race, gender and age tell of them."""
    folder = study.data / "psa001"
    ratings = pd.read_csv(folder / "psa001_agg.csv")
    known = pd.read_csv(folder / "psa001_cfd_faces.csv").set_index("Target")
    reliability = analyses.rating_reliability(ratings, rater="region", face="stim_id")
    for trait, value in reliability.items():
        study.note(f"reliability of {trait} over 11 regions", value, n=120)
    mean = ratings.drop(columns="region").groupby("stim_id").mean()
    features = pd.get_dummies(known[["Race", "Gender"]]).astype(float)
    sets = {
        "age": known[["Age"]],
        "gender": features.filter(like="Gender"),
        "race": features.filter(like="Race"),
        "all": features.assign(age=known["Age"]),
    }
    found = analyses.trait_readout(
        sets, mean, reliability=reliability, n_permutations=study.n, progress=False
    )
    study.keep("traits", found.table, figures.plot_traits(found))
    study.keep("traits specificity", found.specificity, figures.plot_specificity(found, "all"))
    for row in found.table.itertuples():
        study.note(
            f"r of {row.trait}",
            row.r,
            group=f"from {row.features}",
            low=row.ci_low,
            high=row.ci_high,
            p=row.p_corrected,
            n=row.n_people,
        )
    # Other faces, other raters: half of the faces in one region, the other half in another.
    first = np.random.default_rng(0).permutation(mean.index)[:60]
    second = [face for face in mean.index if face not in set(first)]
    by = {
        r: part.set_index("stim_id").drop(columns="region") for r, part in ratings.groupby("region")
    }
    one, other = by["Western Europe"], by["Asia"]
    table = analyses.trait_generalization(
        {"all": sets["all"].loc[first]},
        one.loc[first],
        {"all": sets["all"].loc[second]},
        other.loc[second],
        n_permutations=study.n,
    )
    study.keep("traits across regions", table)
    for row in table.itertuples():
        study.note(
            f"r of {row.trait}, 60 faces in Western Europe to 60 others in Asia",
            row.r,
            low=row.ci_low,
            high=row.ci_high,
            p=row.p_corrected,
            n=row.n_test,
        )


def topography(study: Study) -> None:
    """10: central and peripheral units, and human IT (92 images that ship)."""
    d92 = rf.datasets.images92()
    it = d92.rdms.sel(region="human IT")
    for name in ("dlib-face", "efficientnet-lite0"):
        network = study.network(name)
        rdms = analyses.topographic_rdms(network, d92.stimuli, progress=False)
        found = analyses.compare_topography(rdms, it)
        study.keep(f"topography {name}", found.table, figures.plot_topography(found, title=name))
        for row in found.table.itertuples():
            study.note(
                "central less peripheral, similarity to human IT",
                row.difference,
                network=name,
                layer=row.layer,
                p=row.p_corrected,
                n=92,
            )


def stimuli(study: Study) -> None:
    """11: which 20 photographs tell the last layers of five networks apart."""
    models = rf.concat(
        [
            rf.compute_rdms(
                np.asarray(study.acts(name)[list(study.acts(name))[-1]]),
                conditions=study.acts(name).conditions,
            ).with_labels(name=name)
            for name in TRAINED_FOR
        ]
    )
    design = analyses.choose_stimuli(models, 20, progress=False)
    selection = analyses.simulate_selection(models, design)
    study.keep("stimuli", selection, figures.plot_stimulus_design(design, selection))
    for row in design.table.itertuples():
        study.note(
            f"information (nats, most {row.most:.2f})", row.information, group=row.choice, n=row.n
        )
    for row in selection.itertuples():
        study.note(
            f"right model found, {row.n_measurements} measurements", row.correct, group=row.choice
        )


def agreement(study: Study) -> None:
    """12: every layer of sface against every layer of the others."""
    for name in TRAINED_FOR:
        if name == "sface":
            continue
        found = analyses.layer_agreement(
            study.acts("sface"),
            study.acts(name),
            n_boot=199,
            people=study.labels["identity"],
            n_permutations=199,
            progress=False,
        )
        study.keep(f"agreement {name}", found.table, figures.plot_layer_agreement(found))
        for row in found.order.itertuples():
            study.note(
                f"order of layers agrees ({row.method})",
                row.depth_r,
                network=f"sface and {name}",
                p=row.p,
            )
        rows = found.table[found.table["method"] == "spearman"]
        best = rows.loc[rows["value"].idxmax()]
        study.note(
            "highest agreement of two layers (Spearman)",
            best["value"],
            network=f"sface and {name}",
            layer=f"{best['layer_a']} and {best['layer_b']}",
            low=best["ci_low"],
            high=best["ci_high"],
            p=best["p_corrected"],
        )


def behaviour(study: Study) -> None:
    """Similarity judgements of 100 heads, and distances in a face model."""
    folder = study.data / "facesim3d"
    pairs = np.triu_indices(100, 1)
    views = {}
    for view in ("2D", "3D"):
        table = pd.read_csv(folder / f"{view}_similarity-rt.csv", index_col=0)
        matrix = np.zeros((100, 100))
        matrix[pairs] = table["similarity"].to_numpy()
        views[view] = matrix + matrix.T
    both = pd.DataFrame({view: m[pairs] for view, m in views.items()})
    study.note(
        "Spearman of judgements in 2-D and 3-D view", both.corr("spearman").iloc[0, 1], n=4950
    )
    heads = [f"head {i + 1:03d}" for i in range(100)]
    gender = pd.Series(["female"] * 50 + ["male"] * 50, heads, name="gender")
    for view, matrix in views.items():
        scores = pd.DataFrame(matrix, heads, heads)
        found = analyses.group_components(scores, gender, n_permutations=10 * study.n)
        study.keep(
            f"judgements {view} by gender", found.table, figures.plot_group_components(found)
        )
        top = found.table.loc[found.table["between_group_share"].idxmax()]
        study.note(
            f"between-group share, component {top['component']}",
            top["between_group_share"],
            group=f"gender, {view} view",
            p=top["p_max"],
            n=100,
        )
        one = analyses.score_distributions(scores, gender, n_permutations=10 * study.n)
        row = one.summary.iloc[0]
        study.note(
            "similarity within less between genders",
            row["difference"],
            group=f"{view} view",
            low=row["ci_low"],
            high=row["ci_high"],
            p=row["p"],
            n=100,
        )
    _heads_and_traits(study, views, heads)
    from scipy.io import loadmat

    for name in ("A", "B"):
        pairs_of = loadmat(study.data / "jozwik2022" / f"facepair_info_set_{name}.mat")["p"]
        apart = pairs_of[..., 0] - pairs_of[..., 1]
        whole = np.linalg.norm(apart, axis=1)
        parts = {"shape": apart[:, :199], "texture": apart[:, 199:]}
        for part, values in parts.items():
            r = np.corrcoef(np.linalg.norm(values, axis=1), whole)[0, 1]
            study.note(
                f"r of {part} distance with distance in the whole face model",
                r,
                group=f"set {name}",
                n=len(whole),
            )
        for k in (10, 25, 50):
            some = np.linalg.norm(np.hstack([v[:, :k] for v in parts.values()]), axis=1)
            r = np.corrcoef(some, whole)[0, 1]
            study.note(
                f"r of distance in {k} + {k} components with all",
                r,
                group=f"set {name}",
                n=len(whole),
            )


def _heads_and_traits(study: Study, views, heads) -> None:
    """Do faces judged alike get alike ratings? The heads whose photographs psa001 rated."""
    names = pd.read_csv(study.data / "facesim3d" / "headnmap.csv", header=None)
    face = names[0].str.extract(r"CFD-([A-Z]{2}-\d{3})")[0]
    number = names[3].str.extract(r"Head(\d+)$")[0].astype(float)
    head_of = dict(zip(face[number.notna()], number.dropna().astype(int), strict=True))
    ratings = pd.read_csv(study.data / "psa001" / "psa001_agg.csv").drop(columns="region")
    mean = ratings.groupby("stim_id").mean()
    shared = [f for f in mean.index if f in head_of]
    if len(shared) < 5:
        return
    z = (mean - mean.mean()) / mean.std()
    model = rf.compute_rdms(z.loc[shared].to_numpy(), conditions=shared, measure="euclidean")
    rows = [head_of[f] - 1 for f in shared]
    gender = {f: f[1] for f in shared}
    for view, matrix in views.items():
        apart = 1 - matrix[np.ix_(rows, rows)]
        np.fill_diagonal(apart, 0)
        data = rf.RDMs.from_matrices(apart[None], shared, "judgement", {"subject": ["all"]})
        for what, blocks in (("", None), (", exchanged within gender", gender)):
            found = rf.inference.permutation_test(
                model, data, method="pearson", n_permutations=9999, blocks=blocks
            )
            study.note(
                f"r of judged dissimilarity with distance of 13 trait ratings{what}",
                found.similarity[0],
                group=f"{view} view",
                p=found.p[0],
                n=len(shared),
            )


PARTS: dict[str, Callable[[Study], None]] = {
    "readout": readout,
    "congruence": congruence,
    "face_space": face_space,
    "landmarks": landmarks,
    "robustness": robustness,
    "views": views,
    "embedding_map": embedding_map,
    "demographics": demographics,
    "contrast": contrast,
    "erasure": erasure,
    "occlusion": occlusion,
    "traits": traits,
    "topography": topography,
    "stimuli": stimuli,
    "agreement": agreement,
    "behaviour": behaviour,
}


def main() -> None:
    """Ask what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder that holds london, psa001, …")
    parser.add_argument("--out", type=Path, required=True, help="the folder for results")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="99 permutations for 999, the strongest degradation only",
    )
    parser.add_argument("--layers", type=int, help="how many of each network; by default all")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    study = Study(options.data, options.out, options.quick, options.layers)
    path = options.out / "numbers.csv"
    for name in options.only:
        started = time.perf_counter()
        study.part, study.numbers = name, []
        PARTS[name](study)
        new = pd.DataFrame(study.numbers, columns=list(COLUMNS))
        if path.exists():
            old = pd.read_csv(path, dtype={"layer": str})
            new = pd.concat([old[old["part"] != name], new])
        new.to_csv(path, index=False)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)  # noqa: T201
    print(path)  # noqa: T201


if __name__ == "__main__":
    main()
