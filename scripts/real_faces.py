"""Ask the questions of rsa_faces.analyses of real faces; one tidy table of numbers, and figures.

    python scripts/real_faces.py DATA --out FOLDER
    python scripts/real_faces.py DATA --out FOLDER --only readout robustness
    python scripts/real_faces.py DATA --out FOLDER --quick     99 permutations for 999, the
                                                               strongest degradations, fewer faces
    python scripts/real_faces.py DATA --out FOLDER --layers 4  of each network, evenly spaced
    python scripts/real_faces.py DATA --out FOLDER --every 2   person is shown degraded or turned

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
import contextlib
import functools
import itertools
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import rsa_faces as rf
from rsa_faces import analyses, figures
from rsa_faces._core.result import BaseResult
from rsa_faces.analyses._gram import grams
from rsa_faces.behaviour import feature_contrast
from rsa_faces.networks.training import area_under_roc
from rsa_faces.stimuli import fit_heads, mask_faces
from rsa_faces.stimuli.turning import turn_faces

TRAINED_FOR = {
    "sface": "identity",
    "dlib-face": "identity",
    "face-api-expression": "expression",
    "mini-xception": "expression",
    "efficientnet-lite0": "objects",
}
OF_IDENTITY = ("sface", "dlib-face")
COLUMNS = ("part", "network", "layer", "quantity", "group", "value", "ci_low", "ci_high", "p", "n")
NUMBERS_OF = ("n_people", "n_conditions", "n_faces", "n_test", "n")
ENDS, NONE = ("ci_low", "ci_high"), ("", "")
#: Of the 189 landmarks, those of the face: without ears, hair and neck.
FACE = [*range(115), *range(125, 145), *range(158, 183), *range(185, 189)]


class Layers(dict):
    """Patterns by layer, with the names of their rows and of the network."""

    def __init__(self, patterns, conditions, network: str, depth=None) -> None:
        super().__init__(patterns)
        self.conditions, self.network = tuple(conditions), network
        self.depth = dict.fromkeys(self, 1.0) if depth is None else depth


class Study:
    """The London faces, features of the networks, and the numbers found so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.data, self.out = options.data, options.out
        self.quick, self.n_layers = options.quick, options.layers
        self.every = 6 if options.quick else options.every
        self.n = 99 if options.quick else options.permutations
        self.strengths = [5] if options.quick else options.strengths
        self.numbers: list[dict] = []
        self.part = ""
        for name in ("tables", "figures", "activations"):
            (self.out / name).mkdir(parents=True, exist_ok=True)

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
        """Landmarks of the neutral faces, set by hand."""
        return analyses.read_landmarks(self.data / "london" / "landmarks.npz")

    @functools.cached_property
    def boxes(self):
        """The faces, and the 68 landmarks that a network finds in them."""
        boxes = rf.crop_faces(self.stimuli, self.found, template="box")
        return boxes, rf.networks.detect_landmarks(boxes)

    @functools.cached_property
    def neutral(self) -> list[str]:
        """The neutral faces, fewer of them for a quick trial."""
        return list(self.space.conditions)[:: 5 if self.quick else 1]

    @functools.cached_property
    def space(self):
        """Shape and appearance of the neutral faces."""
        return analyses.face_space(self.stimuli, self.points, match="intersection")

    @functools.cached_property
    def found(self):
        """Where the faces are."""
        path = self.out / "faces.csv"
        if not path.exists():
            rf.detect_faces(self.stimuli).save(path)
        return rf.stimuli.FaceTable.load(path)

    @functools.cached_property
    def some(self) -> list[str]:
        """Both photographs of every so many people, for what shows each many times over."""
        who = self.labels["identity"]
        return list(who.index[who.isin(sorted(set(who))[:: self.every])])

    @functools.cache  # noqa: B019 (one study a process)
    def network(self, name: str):
        """Return a network."""
        return rf.load_network(name)

    @functools.cache  # noqa: B019 (one study a process)
    def crops(self, name: str):
        """Return the faces as a network was trained to see them."""
        return rf.crop_faces(self.stimuli, self.found, **self.network(name).spec.crop_options)

    def placed(self, name: str, shown: list[str]) -> dict[str, np.ndarray]:
        """Return landmarks in these faces as a network sees them."""
        points = {face: self.points[face] for face in shown}
        return rf.stimuli.crop_landmarks(points, self.found, **self.network(name).spec.crop_options)

    @functools.cache  # noqa: B019 (one study a process)
    def acts(self, name: str):
        """Return the activations of all layers, or of those asked for."""
        layers = "all"
        if self.n_layers is not None:
            every = self.network(name).layers()
            places = np.linspace(0, len(every) - 1, min(self.n_layers, len(every)))
            layers = [every[i] for i in places.round().astype(int)]
        store = self.out / "activations"
        return rf.extract(self.network(name), self.crops(name), layers=layers, store=store)

    def embedding(self, name: str, faces=None, crops=None) -> pd.DataFrame:
        """Return the last layer, of some faces or of other crops; its name is the frame's."""
        layer = list(self.acts(name))[-1]
        acts = self.acts(name)
        if crops is not None:
            acts = rf.extract(self.network(name), crops, layers=[layer])
        frame = pd.DataFrame(np.asarray(acts[layer]), list(acts.conditions))
        frame.columns.name = layer
        return frame if faces is None else frame.loc[list(faces)]

    @functools.cache  # noqa: B019 (one study a process)
    def turned(self, name: str) -> Layers:
        """Return the activations of all layers, turned into as many dimensions as photographs.

        Inner products of centred patterns stay as they are, and linear read-outs, subspaces, CKA
        and Procrustes depend on nothing else: the same results, many times faster.
        """
        acts, out = self.acts(name), {}
        for layer in acts:
            (products,), _ = grams(
                np.asarray(acts[layer]), [np.arange(len(acts.conditions))], standardize=False
            )
            values, vectors = np.linalg.eigh(products)
            out[layer] = vectors * np.sqrt(np.maximum(values, 0))
        return Layers(out, acts.conditions, name, acts.depth)

    def last(self, name: str, faces) -> Layers:
        """Return the last layer of some faces."""
        frame = self.embedding(name, faces)
        return Layers({frame.columns.name: frame.to_numpy()}, frame.index, name)

    def note(self, quantity, rows, value="value", ends=ENDS, p="p", group="", **known) -> None:
        """Keep a number, or that of each row; {columns} are filled into quantity and group."""
        if not isinstance(rows, pd.DataFrame):
            one = rows if isinstance(rows, Mapping | pd.Series) else {value: rows}
            rows = pd.DataFrame([dict(one)])
        for row in rows.to_dict("records"):
            filled, row = known | row, row | known
            texts = (row.get("network", ""), row.get("layer", ""), quantity.format(**filled))
            n = next((row[k] for k in NUMBERS_OF if k in row), np.nan)
            numbers = (row[value], *(row.get(k, np.nan) for k in (*ends, p)), n)
            kept = (self.part, *texts, group.format(**filled), *numbers)
            self.numbers.append(dict(zip(COLUMNS, kept, strict=True)))

    def keep(self, name: str, found, draw: Callable | None = None, **options) -> None:
        """Write the table of a result, or of several, and draw it."""
        if isinstance(found, dict):
            table = pd.concat({key: one.table for key, one in found.items()}, names=["of", None])
            table = table.reset_index("of")
        else:
            several = found if isinstance(found, list) else [found]
            table = pd.concat([getattr(one, "table", one) for one in several])
        table.to_csv(self.out / "tables" / f"{name}.csv", index=False)
        if draw is None and isinstance(found, BaseResult):
            draw = type(found).plot
        if draw is not None:
            figure = draw(found, **options)
            figures.save_figure(figure, self.out / "figures" / name)
            plt.close(figure)


def readout(study: Study) -> None:
    """1: what each layer tells of expression, identity, gender, age; what transfers to what."""
    labels = study.labels
    who = labels["identity"]
    of = {
        "expression": {"labels": labels["expression"], "across": who},
        "identity": {"labels": who, "across": labels["expression"], "people": who},
        "gender": {"labels": labels["gender"], "across": who},
        "age": {
            "labels": labels["age"].dropna(),
            "kind": "number",
            "match": "intersection",
            "across": who[labels["age"].notna()],
        },
    }
    for task, options in of.items():
        results = []
        for name in TRAINED_FOR:
            found = analyses.readout(
                study.turned(name), **options, task=task, n_permutations=study.n
            )
            score = "accuracy" if found.classes else "r"
            best = found.table.loc[found.table[score].idxmax()]
            study.note(f"{score} of {task}, last layer", found.table.iloc[-1], score)
            study.note(f"{score} of {task}, highest of all layers", best, score, p="p_corrected")
            results.append(found)
            if found.classes:
                soft = analyses.readout(
                    study.last(name, labels.index),
                    **options,
                    classifier="softmax",
                    n_permutations=0,
                )
                study.note(f"accuracy of {task}, softmax", soft.table, "accuracy")
        study.keep(f"readout {task}", results, figures.plot_readout)
    of.pop("age")
    networks = {f"{name} ({what})": study.turned(name) for name, what in TRAINED_FOR.items()}
    table = analyses.transfer_matrix(networks, of, n_permutations=study.n)
    study.keep("transfer", table, figures.plot_transfer)


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
        )
        results.append(found)
        rows, null = found.table.dropna(subset="congruence"), ("null_low", "null_high")
        study.note("congruence of identity and expression", rows, "congruence", NONE, "p_less")
        study.note("mean of permuted labels", rows, "null_mean", null, "p_greater")
        study.note("congruence freed of noise", rows, "corrected", NONE, "")
        depth = np.arange(len(found.table))
        trend = pd.Series(depth).corr(found.table["congruence"], method="spearman")
        study.note("rank correlation of congruence with depth", trend, network=name, n=len(depth))
    study.keep("congruence", results, figures.plot_congruence)


def face_space(study: Study) -> None:
    """3: 25 + 25 dimensions; faces left out; axes of simulated cells and of units of networks."""
    space = study.space
    eyes = analyses.face_space(study.stimuli, study.points, region="eyes", match="intersection")
    for one, where in ((space, ""), (eyes, ", eyes only, not warped")):
        most = one.components.groupby("part")["cumulative"].max().reset_index()
        study.note(
            "variance explained by 25 components of {part}" + where, most, "cumulative", n=102
        )
    study.keep("face space", space.components, lambda _: figures.plot_components(space, 3))
    names = list(space.conditions)
    shown = [names[i] for i in (0, 20, 50)]
    faces = {
        "reconstructed": space.reconstruct(shown),
        "caricatures": space.caricature(shown, 1.5),
        "anti-faces": space.antiface(shown),
        "morphed": space.morph(shown[0], shown[2]),
        "sampled": space.sample(7, seed=0),
        "reconstructed, eyes only": eyes.reconstruct(shown),
    }
    for label, made in faces.items():
        study.keep(f"faces {label}", made, figures.plot_faces)
        study.note(f"{label} inside the convex region", made.table["inside"].mean(), n=len(made))
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
    found = analyses.axis_tuning(space, cells, n_permutations=study.n)
    which = ["simulated axis cell 1", "simulated exemplar cell 1"]
    study.keep("cells simulated", found, figures.plot_axis_tuning, cells=which)
    kind = found.table["cell"].str.extract("(simulated (?:axis|exemplar))")[0] + " cells"
    for what, rows in found.table.groupby(kind.to_numpy()):
        _shares(study, rows, group=what)
    for name in TRAINED_FOR:
        _units(study, name, eyes)


def _shares(study: Study, rows: pd.DataFrame, **known) -> None:
    """Note how many cells have an axis, and how many are not flat beside it."""
    for quantity, column in (
        ("share with an axis (p ≤ .05)", "p"),
        ("share not flat beside the axis (p ≤ .05)", "p_orthogonal"),
    ):
        study.note(quantity, (rows[column] <= 0.05).mean(), **known | {"n": len(rows)})


def _units(study: Study, name: str, eyes) -> None:
    """Axes of a network's last units, faces decoded from them, and what else predicts them."""
    space = study.space
    units = study.embedding(name, space.conditions)
    common = {"network": name, "layer": units.columns.name}
    units = units.loc[:, units.std() > 0].iloc[:, :128]
    units.columns = [f"unit {i + 1}" for i in range(units.shape[1])]
    found = analyses.axis_tuning(space, units, n_permutations=99)
    study.keep(f"units {name}", found, lambda one: figures.plot_axis_tuning(one, ["unit 1"]))
    _shares(study, found.table, **common)
    for quantity, column in (
        ("median r of held-out responses", "r"),
        ("median preference, -1 appearance to 1 shape", "preference"),
    ):
        study.note(quantity, found.table[column].median(), **common, n=len(found.table))
    decoded = analyses.decode_faces(space, units, n_permutations=99)
    study.keep(f"decoding {name}", decoded)
    last = decoded.table[decoded.table["n_distractors"] == 9].iloc[-1]
    study.note("face found among 10 from all units", last, "accuracy", **common)
    with contextlib.suppress(rf.InputError):  # a few units that are nearly all noise
        geometry = analyses.axis_geometry(space, units, n_permutations=study.n)
        study.keep(f"axes {name}", geometry)
        study.note("axes: {question}", geometry.table, **common)
    measured = analyses.measure_landmarks(study.points).loc[list(space.conditions)]
    sets = {
        "shape and appearance": space.coordinates,
        "eyes only": eyes.coordinates.loc[list(space.conditions)],
        "landmark distances": (measured - measured.mean()) / measured.std(),
    }
    sets |= {o: study.embedding(o, space.conditions) for o in TRAINED_FOR if o != name}
    found = analyses.encoding(
        {key: frame.to_numpy() for key, frame in sets.items()},
        units.iloc[:, :64],
        conditions=list(space.conditions),
        n_permutations=19 if study.quick else 99,
    )
    study.keep(f"sets {name}", found, figures.plot_feature_sets)
    study.note("r of units from {layer}", found.table, "r", p="p_corrected", **common)
    study.note(
        "r2 of units from {layer} less that from {against}",
        found.differences,
        "r2_difference",
        ("r2_ci_low", "r2_ci_high"),
        "r2_p",
        n=len(units),
        network=name,
    )


def _left_out(study: Study, n_folds: int = 5) -> np.ndarray:
    """Return whether faces left out of a space are rebuilt more like themselves than others."""
    names = np.array(study.space.conditions)
    fold = np.random.default_rng(0).permutation(len(names)) % n_folds
    made, real = [], []
    for k in range(n_folds):
        rest = {name: study.points[name] for name in names[fold != k]}
        space = analyses.face_space(study.stimuli, rest, match="intersection")
        asked = list(names[fold == k])
        codes = space.encode(study.stimuli.subset(asked), {n: study.points[n] for n in asked})
        made.append(space.reconstruct(codes).images.reshape(len(asked), -1)[:, ::20])
        real.append(study.space.reconstruct(asked).images.reshape(len(asked), -1)[:, ::20])
    made, real = (np.concatenate(part).astype(np.float32) for part in (made, real))
    distance = (real**2).sum(axis=1) - 2 * made @ real.T
    return distance.argmin(axis=1) == np.arange(len(made))


def landmarks(study: Study) -> None:
    """4: which measurements of faces layers tell, beyond the size; what they add to embeddings."""
    measured = analyses.measure_landmarks(study.points)
    size = analyses.face_size(study.points)[["size"]]
    for name in TRAINED_FOR:
        found = analyses.landmark_readout(
            study.turned(name),
            measured,
            baseline=size,
            match="intersection",
            n_permutations=study.n,
        )
        study.keep(f"landmarks {name}", found)
        last = found.table[found.table["layer"] == found.table["layer"].iloc[-1]]
        best = found.table.loc[found.table.groupby("measurement")["r"].idxmax()]
        for what, rows in (("last layer", last), ("highest of all layers", best)):
            study.note("r of {measurement}, " + what, rows, "r", p="p_corrected")
            beyond = "r of {measurement} beyond size, " + what
            study.note(beyond, rows, "r_beyond", NONE, "p_beyond_corrected")
    study.note("r of {measurement} from size alone", last, "baseline_r", NONE, "", network="")
    boxes, points = study.boxes
    relative = analyses.measure_landmarks(
        points, conditions=list(boxes.ids), template="ibug-68", relative=True
    )
    known = study.labels[study.labels["age"].notna()]
    for name in TRAINED_FOR:
        found = analyses.landmark_gain(
            study.last(name, known.index),
            relative.loc[known.index],
            known["identity"],
            known[["gender", "age"]],
        )
        study.note("{what}: {features}", found.table)
        study.keep(f"landmark gain {name}", found)


def recognition(study: Study) -> None:
    """One photograph against the other: networks, and what does without one."""
    boxes, points = study.boxes
    measured = analyses.measure_landmarks(
        points, conditions=list(boxes.ids), template="ibug-68", relative=True
    )
    fit = fit_heads(points, conditions=list(boxes.ids))
    study.keep("heads", fit.table)
    study.note("heads: error of landmarks, mean (eye distances)", fit.table["error"].mean(), n=204)
    pixels = rf.extract(rf.load_network("pixels"), study.crops("dlib-face"))
    plain = {
        "pixels": np.asarray(pixels[list(pixels)[-1]]),
        "landmark distances": measured / measured.std(),
        "fitted heads, shape": fit.identity,
        "fitted heads, normals": np.nan_to_num(fit.normals(size=56)),
    }
    sets = {name: study.embedding(name) for name in TRAINED_FOR}
    for name, values in plain.items():
        flat = np.asarray(values, float).reshape(len(boxes), -1)
        sets[name] = pd.DataFrame(flat - flat.mean(axis=0), list(boxes.ids))
    templates = pd.DataFrame({"template": list(study.labels.index), "file": study.labels.index})
    templates["subject"] = study.labels["identity"].to_numpy()
    results = []
    for name, frame in sets.items():
        layers = Layers({frame.columns.name or "": frame.to_numpy()}, frame.index, name)
        found = analyses.template_verification(layers, templates)
        study.note("true accepts at {far} false", found.table, "tar")
        results.append(found)
    study.keep("recognition", results)
    for some, what in ((results[:5], "networks"), (results[5:], "baselines")):
        study.keep(f"recognition {what}", some, figures.plot_template_verification)


def robustness(study: Study) -> None:
    """5: RDMs and recognition against degradation, turned heads among them; evened-out light."""
    who, results = study.labels["identity"].loc[study.some], []
    kinds = [*rf.stimuli.degradations.DEGRADATIONS, "turned"]
    for name in TRAINED_FOR:
        found = analyses.robustness(
            study.network(name),
            study.crops(name).subset(study.some),
            identity=who,
            degradations=kinds,
            strengths=study.strengths,
        )
        results.append(found)
        clean, worst = (found.table[found.table["strength"] == s] for s in (0, 5))
        ends = {what: (f"{what}_low", f"{what}_high") for what in ("stability", "auc")}
        study.note("AUC of clean images", clean, "auc", ends["auc"])
        for what, both in ends.items():
            study.note(f"{what} at strength 5", worst, what, both, group="{degradation}")
    study.keep("robustness RDMs", results, figures.plot_robustness)
    study.keep("robustness recognition", results, figures.plot_robustness, value="auc")
    for name in OF_IDENTITY:
        found = analyses.light_gain(
            study.network(name),
            study.crops(name).subset(study.some),
            who,
            strengths=study.strengths,
        )
        study.keep(f"light {name}", found)
        study.note(
            "gain in AUC by {normalisation}",
            found.table,
            "gain",
            ("gain_low", "gain_high"),
            "p_corrected",
            group="{light}",
        )


def views(study: Study) -> None:
    """5, pose: recognition of photographs that are turned in space."""
    boxes, points = study.boxes
    kept = [boxes.ids.index(face) for face in study.some]
    boxes, points = boxes.subset(study.some), points[kept]
    who = study.labels["identity"].to_numpy()
    same = who[:, None] == who
    pairs = ~np.eye(len(who), dtype=bool)
    rows = []
    for yaw in (45,) if study.quick else (-30, 15, 30, 45):
        turned = turn_faces(boxes, points, yaw)
        found = rf.detect_faces(turned)
        group = f"yaw {yaw:+d}"
        share = 1 - len(found.missing) / len(turned)
        study.note("faces found", share, group=group, n=len(turned))
        for name in TRAINED_FOR:
            options = study.network(name).spec.crop_options
            crops = rf.crop_faces(turned, found, missing="leave-out", **options)
            there = [study.stimuli.ids.index(i) for i in crops.ids]
            known, probe = study.embedding(name), study.embedding(name, crops=crops)
            a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (probe, known))
            use = pairs[there]
            auc = area_under_roc((a.to_numpy() @ b.to_numpy().T)[use], same[there][use])
            row = {"network": name, "layer": known.columns.name, "yaw": yaw, "auc": auc}
            rows.append(row | {"n": len(there)})
            study.note("AUC, turned against the other photograph", rows[-1], "auc", group=group)
    study.keep("views", pd.DataFrame(rows))


def confidence(study: Study) -> None:
    """5, confidence: flags, stability and intervals on people who did not set them, by group."""
    labels = study.labels.loc[study.some]
    people = labels.groupby("ethnicity")["identity"].nunique()
    for name in OF_IDENTITY:
        checked = analyses.check_confidence(
            study.network(name),
            study.crops(name).subset(study.some),
            labels["identity"],
            groups=labels["gender"],
            degradations=["blur", "low-light", "resolution", "jpeg"],
            strengths=study.strengths,
            n_variants=2 if study.quick else 4,
        )
        ends = {"flagged": ("share", "low", "high")}
        ends |= {v: (v, f"{v}_low", f"{v}_high") for v in ("stability", "covered")}
        rows = checked.table[checked.table["strength"].isin([0, 5])]
        group = "{degradation} {strength}, {group}"
        for what, (value, *both) in ends.items():
            study.note(what, rows, value, both, group=group, network=name)
            draw = functools.partial(figures.plot_flags, value=value)
            study.keep(f"confidence {name} {value}", checked.table, draw)
        tables = []
        for (kind, strength), part in checked.images.groupby(["degradation", "strength"]):
            flags = part.set_index("condition")[["flagged"]]
            rates = analyses.flag_rates(flags, labels["ethnicity"], people=labels["identity"])
            tables.append(rates.assign(degradation=kind, strength=strength))
        rates = pd.concat(tables)
        rates["n"] = rates["group"].map(people)
        study.keep(f"flags {name} by ethnicity", rates.drop(columns="n"), figures.plot_flags)
        some = rates[rates["strength"].isin([0, 5]) & (rates["group"] != "all")]
        some = some.drop(columns=[c for c in NUMBERS_OF[:-1] if c in some])
        study.note("flagged", some, "share", ("low", "high"), group=group, network=name)


def embedding_map(study: Study) -> None:
    """6: recognition across networks against pairs and ridge; distance of shapes."""
    who = study.labels["identity"]
    others = [name for name in TRAINED_FOR if name != "sface"]
    for pairing in ("same image", "other image"):
        found = {}
        for name in others:
            maps = analyses.embedding_map(
                study.acts(name),
                study.acts("sface"),
                who,
                pairing=pairing,
                n_folds=3,
                n_pairs=[10, 20, 50, 100],
                sweep=pairing == "same image",
            )
            network = f"{name} to sface"
            found[network] = maps
            rows = maps.table[~maps.table["map"].str.contains("one strength|target")]
            what = f"{{map}}, {{n_pairs}} pairs ({pairing})"
            ends = {score: (f"{score}_low", f"{score}_high") for score in ("auc", "lost")}
            study.note(f"AUC, {what}", rows, "auc", ends["auc"], network=network)
            last = maps.table[maps.table["map"] == "ridge"].iloc[-1]
            study.note(f"AUC lost, {what}", last, "lost", ends["lost"], network=network)
            study.note(f"accuracy, {what}", last, "accuracy", NONE, network=network)
            for far in ("0.1", "0.01", "0.001", "0.0001"):
                study.note(
                    f"TAR at FAR {far}, {what}",
                    last.drop("n_people"),
                    f"tar@{float(far):g}",
                    NONE,
                    network=network,
                    n=last["n_different"],
                )
        study.keep(f"maps {pairing}", found, figures.plot_embedding_map)
        if pairing == "same image":
            study.keep("maps swept", found, figures.plot_map_surface)
    for name in others:
        one = analyses.shape_distance(study.acts(name), study.acts("sface"), who)
        study.note("shape distance (radians)", one, "distance", network=f"{name} to sface")


def demographics(study: Study) -> None:
    """7: components, scores and false matches by self-reported groups."""
    labels = study.labels[study.labels["ethnicity"] != "east_asian/white"]  # one person
    groups, who = labels[["gender", "ethnicity"]], labels["identity"]
    options = {"people": who, "n_permutations": 10 * study.n}
    for name in ("sface", "dlib-face", "face-api-expression", "efficientnet-lite0"):
        scores = analyses.similarity_scores(study.acts(name))
        scores = scores.loc[list(labels.index), list(labels.index)]
        found = analyses.group_components(scores, groups, **options)
        for attribute in groups:
            draw = functools.partial(figures.plot_group_components, attribute=attribute)
            study.keep(f"components {name} by {attribute}", found, draw)
            rows = found.table[found.table["attribute"] == attribute]
            top = rows.loc[rows["between_group_share"].idxmax()]
            where = "component {component} ({explained:.0%} of variance)"
            common = {"network": name, "group": attribute}
            study.note(
                f"largest between-group share, {where}",
                top,
                "between_group_share",
                NONE,
                "p_max",
                **common,
            )
            study.note(
                f"clustering index C_k, {where}", top, "clustering_index", NONE, "", **common
            )
            one = analyses.score_distributions(scores, groups[attribute], **options)
            study.keep(f"scores {name} by {attribute}", one)
            study.note(
                "score within less between groups", one.summary.iloc[0], "difference", **common
            )
            matches = analyses.false_matches(scores, groups[attribute], fmr=0.01, **options)
            study.keep(f"false matches {name} by {attribute}", matches)
            study.note(
                "false matches within the group, at 1 % overall",
                matches.groups,
                "fmr",
                p="p_max",
                group="{group}",
                network=name,
            )


def contrast(study: Study) -> None:
    """What organises each layer: who it is, expression, gender, ethnicity."""
    labels = study.labels
    features = {"identity": labels["identity"], **labels[["expression", "gender", "ethnicity"]]}
    people = labels["identity"].to_dict()
    for name in TRAINED_FOR:
        rdms = rf.compute_rdms(study.acts(name))
        found = feature_contrast(rdms, features, people=people, n_permutations=study.n)
        study.keep(f"contrast {name}", found, figures.plot_contrast)
        quantity = "distance between less within groups (s.d.)"
        study.note(quantity, found, "contrast", NONE, group="{feature}", network=name)
        more = found.assign(more=found["contrast"] - found["chance"])
        study.note(f"{quantity}, less chance", more, "more", NONE, group="{feature}", network=name)


def individuation(study: Study) -> None:
    """Do networks agree on faces of one gender and ethnicity, or on groups only?"""
    faces = list(study.space.conditions)
    categories = study.labels.loc[faces, ["gender", "ethnicity"]]
    data = rf.compute_rdms(study.embedding("dlib-face", faces)).with_labels(subject="dlib-face")
    shape = rf.compute_rdms(study.space.coordinates.filter(like="shape"), measure="euclidean")
    models = [shape.with_labels(network="shape of landmarks", layer="shape")]
    models += [
        rf.compute_rdms(study.acts(name)).subset(faces)
        for name in TRAINED_FOR
        if name != "dlib-face"
    ]
    results = [
        analyses.individuation(
            model, data, categories, generalise_to="conditions", n_permutations=study.n
        )
        for model in models
    ]
    for found in results:
        value = "similarity to the last layer of dlib-face, {pairs}"
        study.note(value, found.table, "similarity", p="p_corrected")
    study.keep("individuation", results, figures.plot_effects)


def erasure(study: Study) -> None:
    """What an embedding still tells of gender and ethnicity once they are erased, and the cost."""
    labels = study.labels[study.labels["ethnicity"].isin(["white", "black", "east_asian"])]
    for name, what in itertools.product(OF_IDENTITY, ("gender", "ethnicity")):
        found = analyses.erase_groups(
            study.last(name, labels.index),
            labels[what],
            labels["identity"],
            n_permutations=19 if study.quick else 99,
        )
        study.keep(f"erasure {name} of {what}", found)
        study.note("{what}, {embedding}", found.table, group=what)


def parts_of_faces(study: Study) -> None:
    """Which hidden part changes the answer, what gradients point to, and the background."""
    shown = study.neutral[:: 1 if study.quick else 3]
    names = ("dlib-face", "face-api-expression")
    maps = {}
    for (kind, ask), name in itertools.product(
        (("occlusion", analyses.occlusion_map), ("attribution", analyses.attribution_map)), names
    ):
        found = ask(
            study.network(name),
            study.crops(name).subset(shown),
            landmarks=study.placed(name, shown),
            n_places=5 if study.quick else 8,
        )
        maps[kind, name] = found
        study.keep(f"{kind} {name}", found, figures.plot_occlusion)
        study.note(
            f"{kind}: change of the embedding, least and most",
            found.table.sort_values("change").iloc[[0, -1]],
            "change",
            p="p_corrected",
            group="x {x:.1f}, y {y:.1f}",
            network=name,
        )
    for name in names:
        one, other = (maps[kind, name].table["change"] for kind in ("occlusion", "attribution"))
        study.note("r of occlusion and attribution over places", one.corr(other), network=name)
    results = []
    for name in (*names, "untrained:dlib-face"):
        crops = study.crops(name.removeprefix("untrained:")).subset(shown)
        layers = list(study.acts(name.removeprefix("untrained:")))
        points = study.placed(name.removeprefix("untrained:"), shown)
        found = analyses.background_units(study.network(name), crops, points, layers=layers)
        results.append(found)
        study.note("units that follow the background", found.table.iloc[[0, -1]], "share")
    study.keep("background", results, figures.plot_effects)


def hair(study: Study) -> None:
    """Gender and age from whole faces, without hair and background, and without colour."""
    labels = study.labels.loc[list(study.space.conditions)]
    labels = labels[labels["age"].notna()]
    ratings = pd.DataFrame({"male": labels["gender"] == "male", "age": labels["age"]}, dtype=float)
    for name in ("sface", "dlib-face", "efficientnet-lite0"):
        crops = study.crops(name).subset(list(labels.index))
        points = study.placed(name, list(labels.index))
        versions = {
            f"{name} without hair": mask_faces(crops, points),
            f"{name} without hair and colour": mask_faces(crops, points, grey=True),
            f"{name} grey": mask_faces(crops, grey=True),
        }
        sets = {what: study.embedding(name, crops=shown) for what, shown in versions.items()}
        sets = {name: study.embedding(name, labels.index)} | sets
        found = analyses.trait_readout(
            sets,
            ratings,
            against=dict.fromkeys(versions, name),
            standardize=False,
            n_permutations=study.n,
        )
        study.keep(f"hair {name}", found)
        common = {"group": "{features}", "network": name}
        study.note("r of {trait}", found.table, "r", p="p_corrected", **common)
        rows = found.table[found.table["features"] != name]
        ends = ("change_low", "change_high")
        study.note("change of r of {trait}", rows, "change", ends, "change_p", **common)


def averageness(study: Study) -> None:
    """Are faces of older people less average, or less symmetric?"""
    labels = study.labels.loc[list(study.space.conditions)]
    labels = labels[labels["age"].notna()]
    points = {name: study.points[name] for name in labels.index}
    found = analyses.averageness(
        {name: values[FACE] for name, values in points.items()},
        labels[["age"]],
        embeddings={name: study.embedding(name, labels.index) for name in OF_IDENTITY},
        within=labels["gender"],
        controls=analyses.measure_landmarks(points)[["yaw"]].abs(),
        n_permutations=10 * study.n,
    )
    study.keep("averageness", found)
    study.note("partial r of {rating} with {measure}", found.table, "r", p="p_corrected")
    ends = ("beyond_low", "beyond_high")
    study.note(
        "the same, beyond other measures",
        found.table,
        "r_beyond",
        ends,
        "p_beyond",
        group="{measure}",
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
    found = analyses.trait_readout(sets, mean, reliability=reliability, n_permutations=study.n)
    study.keep("traits", found)
    study.keep(
        "traits specificity", found.specificity, lambda _: figures.plot_specificity(found, "all")
    )
    study.note("r of {trait}", found.table, "r", p="p_corrected", group="from {features}")
    # Other faces, other raters: half of the faces in one region, the other half in another.
    first = np.random.default_rng(0).permutation(mean.index)[:60]
    second = [face for face in mean.index if face not in set(first)]
    by = {
        r: part.set_index("stim_id").drop(columns="region") for r, part in ratings.groupby("region")
    }
    table = analyses.trait_generalization(
        {"all": sets["all"].loc[first]},
        by["Western Europe"].loc[first],
        {"all": sets["all"].loc[second]},
        by["Asia"].loc[second],
        n_permutations=study.n,
    )
    study.keep("traits across regions", table)
    quantity = "r of {trait}, 60 faces in Western Europe to 60 others in Asia"
    study.note(quantity, table, "r", p="p_corrected")


def topography(study: Study) -> None:
    """10: central and peripheral units, and human IT (92 images that ship)."""
    d92 = rf.datasets.images92()
    it = d92.rdms.sel(region="human IT")
    for name in ("dlib-face", "efficientnet-lite0"):
        rdms = analyses.topographic_rdms(study.network(name), d92.stimuli)
        found = analyses.compare_topography(rdms, it)
        study.keep(f"topography {name}", found, figures.plot_topography, title=name)
        study.note(
            "central less peripheral, similarity to human IT",
            found.table,
            "difference",
            NONE,
            "p_corrected",
            network=name,
            n=92,
        )


def stimuli(study: Study) -> None:
    """11: which 20 photographs tell the last layers of five networks apart; pixels changed so."""
    models = rf.concat(
        [rf.compute_rdms(study.embedding(name)).with_labels(name=name) for name in TRAINED_FOR]
    )
    design = analyses.choose_stimuli(models, 20)
    selection = analyses.simulate_selection(models, design)
    study.keep("stimuli", selection, lambda table: figures.plot_stimulus_design(design, table))
    study.note("information (nats, most {most:.2f})", design.table, "information", group="{choice}")
    study.note(
        "right model found, {n_measurements} measurements", selection, "correct", group="{choice}"
    )
    start = study.crops("dlib-face").subset(study.neutral[:8])
    made = analyses.synthesise_images(
        [study.network(name) for name in OF_IDENTITY],
        [study.embedding(name).columns.name for name in OF_IDENTITY],
        start,
        n_steps=10 if study.quick else 40,
    )
    draw = functools.partial(figures.plot_synthesis, start)
    study.keep("stimuli made", made.disagreement, lambda _: draw(made))
    for value in ("disagreement", "change"):
        study.note(f"{value} of sface and dlib-face, {{images}}", made.disagreement, value, n=8)


def agreement(study: Study) -> None:
    """12: every layer of sface against every layer of the others."""
    n = 19 if study.quick else 199
    for name in TRAINED_FOR:
        if name == "sface":
            continue
        found = analyses.layer_agreement(
            study.acts("sface"),
            study.acts(name),
            n_boot=n,
            people=study.labels["identity"],
            n_permutations=n,
        )
        study.keep(f"agreement {name}", found)
        pair = {"network": f"sface and {name}"}
        study.note("order of layers agrees ({method})", found.order, "depth_r", NONE, **pair)
        rows = found.table[found.table["method"] == "spearman"]
        best = rows.loc[rows["value"].idxmax()]
        pair["layer"] = f"{best['layer_a']} and {best['layer_b']}"
        study.note("highest agreement of two layers (Spearman)", best, p="p_corrected", **pair)


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
    rho = both.corr("spearman").iloc[0, 1]
    study.note("Spearman of judgements in 2-D and 3-D view", rho, n=4950)
    heads = [f"head {i + 1:03d}" for i in range(100)]
    gender = pd.Series(["female"] * 50 + ["male"] * 50, heads, name="gender")
    for view, matrix in views.items():
        scores = pd.DataFrame(matrix, heads, heads)
        found = analyses.group_components(scores, gender, n_permutations=10 * study.n)
        study.keep(f"judgements {view} by gender", found)
        top = found.table.loc[found.table["between_group_share"].idxmax()]
        study.note(
            "between-group share, component {component}",
            top,
            "between_group_share",
            NONE,
            "p_max",
            group=f"gender, {view} view",
        )
        one = analyses.score_distributions(scores, gender, n_permutations=10 * study.n).summary
        quantity = "similarity within less between genders"
        study.note(quantity, one.iloc[0], "difference", group=f"{view} view")
    _heads_and_traits(study, views)
    from scipy.io import loadmat

    for name in ("A", "B"):
        pairs_of = loadmat(study.data / "jozwik2022" / f"facepair_info_set_{name}.mat")["p"]
        apart = pairs_of[..., 0] - pairs_of[..., 1]
        shape, texture = apart[:, :199], apart[:, 199:]
        parts = {
            "r of shape distance with distance in the whole face model": shape,
            "r of texture distance with distance in the whole face model": texture,
        } | {
            f"r of distance in {k} + {k} components with all": np.hstack(
                [shape[:, :k], texture[:, :k]]
            )
            for k in (10, 25, 50)
        }
        whole = np.linalg.norm(apart, axis=1)
        for quantity, values in parts.items():
            r = np.corrcoef(np.linalg.norm(values, axis=1), whole)[0, 1]
            study.note(quantity, r, group=f"set {name}", n=len(whole))


def _heads_and_traits(study: Study, views) -> None:
    """Do faces judged alike get alike ratings? The heads whose photographs psa001 rated."""
    names = pd.read_csv(study.data / "facesim3d" / "headnmap.csv", header=None)
    face = names[0].str.extract(r"CFD-([A-Z]{2}-\d{3})")[0]
    number = names[3].str.extract(r"Head(\d+)$")[0].astype(float)
    head_of = dict(zip(face[number.notna()], number.dropna().astype(int), strict=True))
    ratings = pd.read_csv(study.data / "psa001" / "psa001_agg.csv").drop(columns="region")
    mean = ratings.groupby("stim_id").mean()
    shared = [f for f in mean.index if f in head_of]
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
                {"value": found.similarity[0], "p": found.p[0]},
                group=f"{view} view",
                n=len(shared),
            )


PARTS: dict[str, Callable[[Study], None]] = {
    part.__name__: part
    for part in (
        readout,
        congruence,
        face_space,
        landmarks,
        recognition,
        robustness,
        views,
        confidence,
        embedding_map,
        demographics,
        contrast,
        individuation,
        erasure,
        parts_of_faces,
        hair,
        averageness,
        traits,
        topography,
        stimuli,
        agreement,
        behaviour,
    )
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
    parser.add_argument("--permutations", type=int, default=999)
    parser.add_argument("--every", type=int, default=1, help="person in robustness and the like")
    parser.add_argument("--strengths", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    study = Study(options)
    path = options.out / "numbers.csv"
    failed = []
    for name in options.only:
        started = time.perf_counter(), time.process_time()
        study.part, study.numbers = name, []
        try:
            PARTS[name](study)
        except Exception:  # noqa: BLE001 (the other parts do not need it)
            traceback.print_exc()
            failed.append(name)
            continue
        new = pd.DataFrame(study.numbers, columns=list(COLUMNS))
        if path.exists():
            old = pd.read_csv(path, dtype={"layer": str})
            new = pd.concat([old[old["part"] != name], new])
        new.to_csv(path, index=False)
        wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
        print(f"{name}: {wall:.0f} s, {cpu:.0f} s of processor", flush=True)
    print(path)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
