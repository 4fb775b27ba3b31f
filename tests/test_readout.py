"""Read-out: equal to scikit-learn, right where something is planted, at chance where nothing is."""

import numpy as np
import pandas as pd
import pytest
from drawn import legend_of, panels, said_in
from matplotlib.collections import LineCollection

import rsa_faces as rf
from rsa_faces._core.exchange import exchanged
from rsa_faces.analyses import kdef_table, readout, transfer_matrix

N_PEOPLE, N_CHANNELS = 14, 40
EXPRESSIONS = ("neutral", "smiling", "angry")


def names(n_people=N_PEOPLE, expressions=EXPRESSIONS):
    return [f"{i:02d} {e}" for i in range(n_people) for e in expressions]


def person(all_names):
    return {name: name.split()[0] for name in all_names}


def expression(all_names):
    return {name: name.split()[1] for name in all_names}


def features(all_names, *, identity=0.0, smile=0.0, seed=0):
    """Noise, with an identity and an expression part."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(len(all_names), N_CHANNELS))
    who = {p: rng.normal(size=N_CHANNELS) for p in person(all_names).values()}
    what = {e: rng.normal(size=N_CHANNELS) for e in EXPRESSIONS}
    for row, name in zip(x, all_names, strict=True):
        p, e = name.split()
        row += identity * who[p] + smile * what[e]
    return x


def fitted_by_hand(x, labels, groups, fold_of, strength):
    """Ridge on one-hot labels with intercept, by scikit-learn, fold by fold."""
    from sklearn.linear_model import Ridge

    kinds = list(dict.fromkeys(labels))
    y = np.array([[label == kind for kind in kinds] for label in labels], float)
    out = np.empty(len(x), object)
    for fold in np.unique(fold_of):
        train, test = fold_of != fold, fold_of == fold
        centred = x[train] - x[train].mean(axis=0)
        alpha = strength * (centred**2).sum() / train.sum()
        model = Ridge(alpha=alpha).fit(x[train], y[train])
        out[test] = [kinds[k] for k in model.predict(x[test]).argmax(axis=1)]
    return out


@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_predictions_are_those_of_scikit_learn(strength):
    all_names = names()
    x = features(all_names, smile=0.6)
    found = readout(
        {"a": x},
        expression(all_names),
        conditions=all_names,
        across=person(all_names),
        n_folds=5,
        n_permutations=1,
        strengths=[strength],
    )
    shown = found.predictions
    expected = fitted_by_hand(x, shown["label"].tolist(), None, shown["fold"].to_numpy(), strength)
    assert (shown["predicted"].to_numpy() == expected).all()
    hits = shown["predicted"] == shown["label"]
    assert found.table["accuracy"][0] == hits.mean()
    per_class = hits.groupby(shown["label"]).mean()
    assert found.table["balanced_accuracy"][0] == pytest.approx(per_class.mean())
    # No person is in two folds.
    assert (
        shown.assign(who=shown["condition"].str[:2]).groupby("who")["fold"].nunique() == 1
    ).all()


def test_numbers_are_predicted_as_by_scikit_learn():
    from sklearn.linear_model import Ridge

    all_names = names()
    rng = np.random.default_rng(1)
    x = features(all_names)
    years = {p: float(rng.uniform(20, 60)) for p in sorted(set(person(all_names).values()))}
    age = {name: years[name[:2]] for name in all_names}
    x[:, 0] += [age[n] / 5 for n in all_names]
    found = readout(
        {"a": x},
        age,
        conditions=all_names,
        across=person(all_names),
        kind="number",
        n_folds=5,
        n_permutations=49,
        strengths=[0.05],
    )
    shown = found.predictions
    y, fold_of = shown["label"].to_numpy(float), shown["fold"].to_numpy()
    expected, baseline = np.empty(len(y)), np.empty(len(y))
    for fold in np.unique(fold_of):
        train, test = fold_of != fold, fold_of == fold
        alpha = 0.05 * ((x[train] - x[train].mean(axis=0)) ** 2).sum() / train.sum()
        expected[test] = Ridge(alpha=alpha).fit(x[train], y[train]).predict(x[test])
        baseline[test] = y[train].mean()
    np.testing.assert_allclose(shown["predicted"], expected, rtol=1e-9)
    row = found.table.iloc[0]
    assert row["r"] == pytest.approx(np.corrcoef(expected - baseline, y - baseline)[0, 1])
    assert row["r2"] == pytest.approx(1 - ((y - expected) ** 2).sum() / ((y - baseline) ** 2).sum())
    assert row["r"] > 0.5
    assert row["p"] == 1 / 50
    assert row["ci_low"] < row["r"] < row["ci_high"]


def test_the_mean_of_the_training_set_does_not_turn_the_sign_of_r():
    names = [f"n{i}" for i in range(30)]
    x = np.random.default_rng(2).normal(size=(30, 4))
    y = dict(zip(names, x[:, 0], strict=True))
    found = readout(
        {"a": x}, y, conditions=names, kind="number", n_folds=30, n_permutations=19, strengths=[1e4]
    )
    shown = found.predictions
    assert np.corrcoef(shown["predicted"], shown["label"].astype(float))[0, 1] < -0.9
    row = found.table.iloc[0]
    assert row["r"] > 0.9
    assert 0.7 < row["ci_low"] < row["r"] < row["ci_high"]


def test_the_strength_is_chosen_by_leaving_groups_out():
    """With a good one and a useless one to choose from, the good one is taken."""
    all_names = names()
    x = features(all_names, smile=0.7, seed=4)
    settings = {"conditions": all_names, "across": person(all_names), "n_permutations": 9}
    alone = {
        s: readout({"a": x}, expression(all_names), strengths=[s], **settings).table["accuracy"][0]
        for s in (0.3, 1e6)
    }
    both = readout({"a": x}, expression(all_names), strengths=[0.3, 1e6], **settings)
    assert alone[0.3] > 0.8
    assert both.table["accuracy"][0] == alone[0.3]


def test_planted_layers_win_and_empty_ones_are_at_chance():
    all_names = names()
    layers = {
        "nothing": features(all_names, seed=1),
        "expression": features(all_names, smile=1.5, seed=2),
        "identity": features(all_names, identity=1.5, seed=3),
    }
    smiles = readout(
        layers,
        pd.Series(expression(all_names), name="expression"),
        conditions=all_names,
        across=person(all_names),
        n_permutations=199,
    )
    table = smiles.table.set_index("layer")
    assert smiles.task == "expression"
    assert table.at["expression", "accuracy"] > 0.95
    assert table.at["expression", "p_corrected"] == 1 / 200
    assert table.at["nothing", "p"] > 0.05
    assert abs(table["chance"] - 1 / 3).max() < 0.05
    assert (table["ci_low"] <= table["accuracy"]).all()
    assert (table["p"] <= table["p_corrected"]).all()
    who = readout(
        layers,
        person(all_names),
        conditions=all_names,
        across=expression(all_names),
        people=person(all_names),
        n_permutations=199,
    )
    table = who.table.set_index("layer")
    assert table.at["identity", "accuracy"] > 0.9
    assert table.at["expression", "p"] > 0.05
    assert (table["n_groups"] == 3).all()
    assert (table["n_people"] == N_PEOPLE).all()
    confusion = smiles.confusion("expression")
    assert list(confusion.index) == list(EXPRESSIONS)
    assert confusion.to_numpy().sum() == len(all_names)
    assert np.trace(confusion) / confusion.to_numpy().sum() == smiles.table["accuracy"][1]


def test_standardizing_equals_scikit_learns_scaler():
    from sklearn.preprocessing import StandardScaler

    all_names = names()
    x = features(all_names, smile=0.8) * np.logspace(-2, 2, N_CHANNELS)
    found = readout(
        {"a": x},
        expression(all_names),
        conditions=all_names,
        across=person(all_names),
        n_folds=4,
        n_permutations=1,
        strengths=[0.1],
        standardize=True,
    )
    shown = found.predictions
    fold_of, labels = shown["fold"].to_numpy(), shown["label"].tolist()
    expected = np.empty(len(x), object)
    for fold in range(4):
        scaled = StandardScaler().fit(x[fold_of != fold]).transform(x)
        by_hand = fitted_by_hand(scaled, labels, None, np.where(fold_of == fold, 1, 0), 0.1)
        expected[fold_of == fold] = by_hand[fold_of == fold]
    assert (shown["predicted"].to_numpy() == expected).all()


def test_permutations_respect_groups():
    rng = np.random.default_rng(0)
    groups = np.array([3, 3, 1, 1, 2, 2, 2])
    own = np.array([0, 1, 0, 1, 0, 1, 2])
    within = exchanged(own, groups, 200, rng)
    for g in (1, 2, 3):
        expected = sorted(own[groups == g])
        assert all(sorted(row[groups == g]) == expected for row in within)
    assert len({tuple(row) for row in within}) == 2 * 2 * 6
    whole = exchanged(np.array([5, 5, 6, 6, 7, 7, 7]), groups, 200, rng)
    assert all(len(set(row[groups == g])) == 1 for row in whole for g in (1, 2, 3))
    assert len({tuple(row) for row in whole}) == 6
    free = exchanged(np.arange(4), np.arange(4), 500, rng)
    assert len({tuple(row) for row in free}) == 24


def test_same_seed_same_result_and_activations_are_taken_by_name():
    all_names = names()
    x = features(all_names, smile=0.5)
    settings = {"across": person(all_names), "n_permutations": 50, "seed": 3}
    acts = rf.Activations({"a": x, "b": x[:, :5]}, all_names, network="simulated")
    one = readout(acts, expression(all_names), **settings)
    two = readout(acts, expression(all_names), **settings)
    pd.testing.assert_frame_equal(one.table, two.table)
    assert set(one.table["network"]) == {"simulated"}
    assert list(one.table["depth"]) == [0.5, 1.0]
    order = np.random.default_rng(0).permutation(len(all_names))
    shuffled = dict(expression([all_names[i] for i in order]))  # labels in another order
    three = readout(acts, shuffled, **settings)
    pd.testing.assert_frame_equal(one.table, three.table)


def test_transfer_matrix_reads_every_task_out_of_every_network():
    all_names = names()
    networks = {
        "identity": {"first": features(all_names), "last": features(all_names, identity=2, seed=7)},
        "expression": {"last": features(all_names, smile=2, seed=8)},
    }
    tasks = {
        "identity": {
            "labels": person(all_names),
            "across": expression(all_names),
            "people": person(all_names),
        },
        "expression": {"labels": expression(all_names), "across": person(all_names)},
    }
    table = transfer_matrix(networks, tasks, conditions=all_names, n_permutations=50)
    score = table.set_index(["trained", "task"])["accuracy"]
    assert (table["layer"] == "last").all()
    for task in tasks:
        assert score[(task, task)] > 0.9
    assert score[("identity", "expression")] < 0.6
    ax = panels(rf.figures.plot_transfer(table))[0]
    assert len(ax.texts) == 4
    with pytest.raises(rf.InputError, match="layer of identity: 'lst'. Did you mean"):
        transfer_matrix(networks, tasks, layer="lst", conditions=all_names)


def test_figure_shows_each_network(tmp_path):
    all_names = names()
    acts = [
        rf.Activations(
            {"a": features(all_names), "b": features(all_names, smile=1)}, all_names, network=n
        )
        for n in ("one", "two")
    ]
    found = [
        readout(a, expression(all_names), across=person(all_names), n_permutations=50, task="smile")
        for a in acts
    ]
    figure = rf.figures.plot_readout(found)
    assert legend_of(figure) == ["one", "two"]
    ax = panels(figure)[0]
    assert "14 people, 42 images" in ax.get_title(loc="left")
    assert "filled: above chance" in said_in(figure)
    untested = readout(acts[0], expression(all_names), across=person(all_names), n_permutations=0)
    assert "filled" not in said_in(rf.figures.plot_readout(untested))
    with pytest.raises(rf.InputError, match="results of one task"):
        rf.figures.plot_readout(
            [
                found[0],
                readout(
                    acts[0],
                    person(all_names),
                    across=expression(all_names),
                    n_permutations=9,
                    task="who",
                ),
            ]
        )


def test_kdef_names_are_read():
    table = kdef_table(["faces/AF01ANS.JPG", "bm35suhr.jpg", "AM10NEFL"])
    assert list(table.index) == ["AF01ANS", "bm35suhr", "AM10NEFL"]
    assert table.loc["bm35suhr"].to_dict() == {
        "session": "B",
        "gender": "male",
        "identity": "M35",
        "expression": "surprised",
        "view": 45,
    }
    assert table.loc["AF01ANS", "view"] == 0
    with pytest.raises(rf.InputError, match="got 1 others: 'AF1ANS.JPG'"):
        kdef_table(["AF01ANS.JPG", "AF1ANS.JPG"])


def bad(**changes):
    all_names = names(6)
    base = {
        "activations": {"a": features(all_names)},
        "labels": expression(all_names),
        "conditions": all_names,
        "across": person(all_names),
        "n_permutations": 9,
    }
    return base | changes


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"kind": "klass"}, "unknown kind 'klass'"),
        ({"strengths": [0.0]}, "expected strengths above 0"),
        ({"labels": {n: "x" for n in names(6)}}, "at least 2 classes"),
        ({"across": {n: "x" for n in names(6)}}, "at least 2 groups to test `across`, got 1"),
        (
            {"labels": person(names(6))},
            "every class in at least 2 groups, .* 6 are in one only: '00'",
        ),
        ({"labels": dict(list(expression(names(6)).items())[:-1])}, "the activations"),
        ({"labels": expression(names(6)) | {"00 neutral": None}}, "1 are missing: '00 neutral'"),
        ({"labels": expression(names(6)), "kind": "number"}, "expected numbers as labels"),
        ({"activations": {"a": np.full((18, 4), np.nan)}}, "layer 'a' has NaN or infinity"),
        ({"activations": {"a": np.ones((18, 4))}}, "channels that vary"),
        ({"activations": {"a": np.ones((17, 4))}}, r"expected shape \(18, n_channels\)"),
        ({"conditions": None}, "the names of its rows"),
    ],
)
def test_wrong_input_is_refused(changes, match):
    arguments = bad(**changes)
    with pytest.raises(ValueError, match=match):
        readout(arguments.pop("activations"), arguments.pop("labels"), **arguments)


def test_intersection_leaves_out_and_counts():
    all_names = names(6)
    few = dict(list(expression(all_names).items())[3:])
    arguments = bad(labels=few, match="intersection")
    found = readout(arguments.pop("activations"), arguments.pop("labels"), **arguments)
    assert found.table["n_conditions"][0] == 15
    assert found.table["n_left_out"][0] == 3


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.parametrize("task", ["expression", "identity", "gender", "age"])
def test_false_positive_rate_is_nominal(task):
    """Features carry what is not asked for; p is at most 0.05 in 5 % of simulations."""
    n_simulations, hits = 300, 0
    all_names = names(12)
    who, what = person(all_names), expression(all_names)
    rng = np.random.default_rng(0)
    for k in range(n_simulations):
        people = sorted(set(who.values()))
        of_person = dict(zip(people, rng.integers(2, size=len(people)), strict=True))
        of_person |= dict(zip(people[:4], (0, 1, 0, 1), strict=True))  # at least two of each
        arguments = {
            "expression": {"labels": what, "across": who},
            "identity": {"labels": who, "across": what},
            "gender": {"labels": {n: int(of_person[who[n]]) for n in all_names}, "across": who},
            "age": {
                "labels": {n: float(of_person[who[n]]) for n in all_names},
                "across": who,
                "kind": "number",
            },
        }[task]
        x = features(
            all_names,
            identity=0.0 if task == "identity" else 1.0,
            smile=0.0 if task == "expression" else 1.0,
            seed=k,
        )
        found = readout(
            {"a": x},
            conditions=all_names,
            n_folds=4,
            n_permutations=59,
            seed=k,
            strengths=[0.01, 0.1, 1],
            progress=False,
            **arguments,
        )
        hits += found.table["p"][0] <= 0.05
    # 99 % of binomial counts at 0.05; classes tie, which makes p larger.
    assert hits <= 25
    assert hits >= 3


# --- a softmax layer ------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.001, 30.0])
def test_softmax_predicts_as_scikit_learn_does(strength):
    from sklearn.linear_model import LogisticRegression

    rows = names()
    x, who, what = features(rows, smile=0.3), person(rows), expression(rows)
    found = readout(
        {"fc": x},
        what,
        conditions=rows,
        across=who,
        classifier="softmax",
        strengths=[strength],
        n_permutations=0,
    )
    predictions = found.predictions.set_index("condition").loc[rows]
    fold_of, y = predictions["fold"].to_numpy(), np.array([what[name] for name in rows])
    for fold in np.unique(fold_of):
        train = fold_of != fold
        z = x - x[train].mean(axis=0)
        z /= np.sqrt((z[train] ** 2).sum() / train.sum())
        layer = LogisticRegression(C=1 / strength, tol=1e-8, max_iter=5000).fit(z[train], y[train])
        assert (layer.predict(z[~train]) == predictions["predicted"][~train]).all()
    row = found.table.iloc[0]
    assert row["accuracy"] == (predictions["predicted"] == y).mean()
    assert found.table[["p", "p_corrected", "chance"]].isna().all(axis=None)
    again = readout(
        {"fc": x[:, ::-1]},
        what,
        conditions=rows,
        across=who,
        classifier="softmax",
        strengths=[strength],
        n_permutations=0,
    )
    assert again.table["accuracy"][0] == row["accuracy"]


@pytest.mark.parametrize("classifier", ["ridge", "softmax"])
def test_people_across_two_expressions_where_nothing_can_be_left_out(classifier):
    rows = names(30, EXPRESSIONS[:2])
    x = features(rows, identity=2.0)
    # Simulated: light differs much between photographs, and hides who it is from class means.
    x[:, 0] += 30 * np.random.default_rng(1).normal(size=len(rows))
    options = {"across": expression(rows), "n_permutations": 0, "classifier": classifier}

    def accuracy(**strengths):
        found = readout({"fc": x}, person(rows), conditions=rows, **options, **strengths)
        return found.table["accuracy"][0]

    assert accuracy() == accuracy(strengths=[0.1]) > 2 * accuracy(strengths=[100.0])


def test_softmax_finds_what_is_planted_and_nothing_else():
    rows = names(10)
    who, what = person(rows), expression(rows)
    options = {
        "conditions": rows,
        "across": who,
        "classifier": "softmax",
        "n_folds": 5,
        "strengths": [0.01, 1],
        "n_permutations": 19,
    }
    layers = {"planted": features(rows, smile=1.0), "nothing": features(rows, seed=1)}
    table = readout(layers, what, **options).table.set_index("layer")
    assert table.loc["planted", "accuracy"] > 0.9
    assert table.loc["planted", "p"] == 0.05
    assert table.loc["nothing", "p"] > 0.1
    assert table["chance"].between(0.2, 0.45).all()
    pd.testing.assert_frame_equal(readout(layers, what, **options).table.set_index("layer"), table)
    with pytest.raises(rf.InputError, match="kind='class' for classifier='softmax'"):
        readout(layers, dict.fromkeys(rows, 1.0), **options, kind="number")
    with pytest.raises(rf.InputError, match="unknown classifier 'svm'"):
        readout(layers, what, **(options | {"classifier": "svm"}))


def of_people(seed, n_people=16):
    """Images of people who differ in everything, in three expressions; groups that mean nothing."""
    rng = np.random.default_rng(seed)
    conditions = names(n_people)
    who = np.repeat(np.arange(n_people), 3)
    x = rng.normal(size=(n_people, 12))[who] + 0.5 * rng.normal(size=(len(who), 12))
    group = rng.permutation(np.arange(n_people) % 2)[who]
    return (
        {"fc": x},
        conditions,
        dict(zip(conditions, group, strict=True)),
        rng.normal(size=n_people)[who],
    )


@pytest.mark.parametrize("across", [None, "expression"])
@pytest.mark.parametrize("kind", ["class", "number"])
def test_what_is_a_persons_own_is_exchanged_with_the_person(across, kind):
    # Each person is known again by another image: as if images were of other people, p was at most
    # .05 in 40 of 40 studies of groups, and in 35 or more of ages.
    found = []
    for seed in range(40):
        x, conditions, group, age = of_people(seed)
        labels = group if kind == "class" else dict(zip(conditions, age, strict=True))
        table = readout(
            x,
            labels,
            conditions=conditions,
            people=person(conditions),
            across=expression(conditions) if across else None,
            kind=kind,
            n_permutations=19,
            progress=False,
        ).table
        found.append(table["p"][0])
    assert np.mean(np.array(found) <= 0.05) <= 0.15
    assert table["n_people"][0] == 16
    assert table["n_groups"][0] == (3 if across else 16)


def test_people_themselves_are_read_out_as_ever():
    x, conditions, *_ = of_people(0)
    who = person(conditions)
    for across in (None, expression(conditions)):
        table = readout(
            x, who, conditions=conditions, people=who, across=across, n_permutations=19
        ).table
        assert table["p"][0] == 0.05
        assert table["accuracy"][0] > 0.5


def test_tasks_and_layers_of_a_matrix_are_checked():
    x, conditions, group, _ = of_people(0)
    task = {"labels": group, "across": person(conditions)}
    with pytest.raises(rf.InputError, match="`labels` in the task 'group'"):
        transfer_matrix({"net": x}, {"group": group}, conditions=conditions)
    with pytest.raises(rf.InputError, match="layer of every network in `layer`, none of 'net'"):
        transfer_matrix({"net": x}, {"group": task}, layer={"no": "fc"}, conditions=conditions)
    with pytest.raises(rf.InputError, match="expected tasks by name"):
        transfer_matrix({"net": x}, {}, conditions=conditions)


def test_classes_may_be_cells_of_several_factors():
    x, conditions, *_ = of_people(0)
    cells = {name: (e, "seen") for name, e in expression(conditions).items()}
    plain, found = (
        readout(x, labels, conditions=conditions, across=person(conditions), n_permutations=19)
        for labels in (expression(conditions), cells)
    )
    one, other = found.confusion("fc"), plain.confusion("fc")
    np.testing.assert_array_equal(one, other)
    assert one.loc[[("smiling", "seen")]].to_numpy().sum() == 16
    assert other.index.name == "label"
    rows = plain.predictions.value_counts(["label", "predicted"])
    assert other.loc["neutral", "smiling"] == rows.get(("neutral", "smiling"), 0)


def test_the_interval_of_a_single_layer_is_seen():
    # A band of one point has no width.
    x, conditions, *_ = of_people(0)
    found = readout(
        x,
        expression(conditions),
        conditions=conditions,
        across=person(conditions),
        n_permutations=19,
    )
    (ax,) = panels(found.plot())
    drawn = [c for c in ax.collections if isinstance(c, LineCollection)]
    ends = np.concatenate([segment for one in drawn for segment in one.get_segments()])
    row = found.table.iloc[0]
    np.testing.assert_allclose(sorted(ends[:, 1]), [row["ci_low"], row["ci_high"]])
