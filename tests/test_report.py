"""Tables, methods paragraph and page, on simulated subjects."""

import contextlib
import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import rsa_faces as rf
from rsa_faces.inference import Result
from rsa_faces.report import (
    TABLES,
    Account,
    Picture,
    answers,
    methods_text,
    references_used,
    result_tables,
    write_report,
    write_results,
)
from rsa_faces.report.page import grouped_notes

N_CONDITIONS, N_SUBJECTS = 24, 6
NETWORKS = ["net", "untrained:net"]


def simulate(*, region="simulated IT", n_subjects=N_SUBJECTS, subset="all", noise=0.02, **options):
    """Return the evaluation of simulated layers (the second is the truth) and one model."""
    rng = np.random.default_rng(1)
    names = [f"c{i:02d}" for i in range(N_CONDITIONS)]
    patterns = rng.normal(size=(5, N_CONDITIONS, 8))
    rdms = [rf.compute_rdms(p, conditions=names).vectors[0] for p in patterns]
    labels = pd.DataFrame(
        {
            "network": ["net", "net", "untrained:net", "untrained:net", "model"],
            "layer": ["conv", "fc", "conv", "fc", ""],
            "layer_index": [0, 1, 0, 1, np.nan],
            "depth": [0, 1, 0, 1, np.nan],
        }
    )
    model = rf.RDMs(np.array(rdms), names, "correlation", labels)
    subjects = [f"simulated {i}" for i in range(n_subjects)]
    truth = 0.0 if noise is None else rdms[1]
    errors = rng.normal(scale=noise or 1.0, size=(n_subjects, model.n_pairs))
    data = rf.RDMs(truth + errors, names, "simulated", {"subject": subjects, "region": region})
    options = {"generalise_to": "both" if n_subjects > 1 else "conditions", "n_boot": 50} | options
    with pytest.warns() if n_subjects == 1 or noise is None else contextlib.nullcontext():
        return rf.evaluate(model, data, subset=subset, **options)


@pytest.fixture(scope="module")
def result():
    return Result.concat(
        [
            simulate(),
            simulate(region="one", n_subjects=1),
            simulate(subset="noisy", noise=None),
            simulate(region="one", n_subjects=1, subset="noisy"),
        ]
    )


# Tables


def test_tables_come_back_with_every_digit(result, tmp_path):
    paths = write_results(result, tmp_path)
    assert [p.name for p in paths] == ["results.csv", "tests.csv", "subjects.csv", "ceilings.csv"]
    for path, frame in zip(
        paths, (result.table, result.pairs, result.subjects, result.ceilings), strict=True
    ):
        back = pd.read_csv(path, dtype=str, keep_default_na=False)
        assert list(back.columns) == list(frame.columns)
        for column in frame.select_dtypes("number"):
            numbers = [float(v) if v else np.nan for v in back[column]]
            np.testing.assert_array_equal(numbers, frame[column].to_numpy(float))
        assert back["region"].tolist() == frame["region"].tolist()


def test_the_same_result_gives_the_same_bytes(result, tmp_path):
    again = Result.from_json(result.to_json())
    pairs = zip(
        write_results(result, tmp_path / "a"), write_results(again, tmp_path / "b"), strict=True
    )
    for one, other in pairs:
        assert one.read_bytes() == other.read_bytes(), one.name
        assert b"\r" not in one.read_bytes()
    assert not list(tmp_path.rglob("*.part*"))


def test_missing_numbers_are_empty(result, tmp_path):
    write_results(result, tmp_path)
    ceilings = pd.read_csv(tmp_path / "ceilings.csv", keep_default_na=False)
    one = ceilings[ceilings["region"] == "one"]
    assert (one[["ceiling_low", "ceiling_high", "reliable"]] == "").all(axis=None)


# Methods


def cited(text):
    """Return the numbers of the references in order of citation."""
    return [int(n) for n in re.findall(r"\[(\d+)\]", text)]


@pytest.mark.parametrize("method", ["rho-a", "pearson", "tau-a", "corr_cov", "cosine_cov"])
@pytest.mark.parametrize("correction", ["fdr", "holm", "bonferroni"])
def test_references_are_numbered_in_order_of_citation(result, method, correction):
    settings = {**result.settings, "method": method, "correction": correction}
    changed = dataclasses.replace(result, settings=settings)
    text = methods_text(changed, measure="correlation", networks=NETWORKS)
    references = references_used(changed)
    assert cited(text) == list(range(1, len(references) + 1))
    by_name = dict(zip(cited(text), references, strict=True))
    assert "Kriegeskorte" in by_name[1]
    assert any("Diedrichsen" in r for r in references) == method.endswith("_cov")
    assert any("Hochberg" in r for r in references) == (correction == "fdr")
    assert any("Holm" in r for r in references) == (correction == "holm")
    if method.endswith("_cov"):
        assert re.search(r"whitened [\w ]+ \[2\]", text)
    if correction == "fdr":
        assert f"false discovery rate [{len(references)}]" in text


def test_the_dois_are_those_of_the_papers(result):
    text = " ".join(references_used(result))
    for doi in (
        "10.3389/neuro.06.004.2008",
        "10.1371/journal.pcbi.1003553",
        "10.7554/eLife.82566",
        "10.1111/j.2517-6161.1995.tb02031.x",
    ):
        assert f"https://doi.org/{doi}" in text


def test_the_paragraph_has_the_numbers_of_the_run(result):
    text = methods_text(result, measure="crossnobis", networks=NETWORKS)
    low, high = result.ceilings.loc[0, ["ceiling_low", "ceiling_high"]]
    assert "4 layers of 2 networks (net, untrained:net)" in text
    assert "cross-validated squared distance (crossnobis)" in text  # whitened or not
    assert (
        f"simulated IT (n = 6 subjects, 24 conditions; noise ceiling {low:.3f} to {high:.3f})"
        in text
    )
    assert "one (n = 1 subject, 24 conditions; no noise ceiling)" in text
    assert "simulated IT, noisy (n = 6 subjects, 24 conditions; noise ceiling" in text
    assert "no reliable signal)" in text
    drawn = "subjects and conditions (two-factor variance) (simulated IT); conditions (one)"
    assert f"50 bootstrap samples of {drawn}" in text
    assert "Further model RDMs were model." in text
    assert "α = 0.05" in text
    assert "seed 0" in text


def test_one_region_needs_no_names_of_regions():
    one = simulate(n_subjects=1)
    text = methods_text(one, measure="correlation", networks=["net"])
    assert "2 layers of 1 network (net)" in text
    assert "bootstrap samples of conditions [2]" in text
    assert "(23 degrees of freedom)" in text
    assert "Noise ceilings" not in text
    assert not any("Nili" in r for r in references_used(one))


def test_models_alone_are_described_without_networks(result):
    text = methods_text(result, measure="correlation", networks=[])
    assert text.startswith("Model RDMs were net, untrained:net, model [1].")


# Answers and notes


def test_answers_say_what_was_simulated(result):
    text = answers(result)
    assert len(text) == len(result.ceilings) == 4
    found = result.table[
        (result.table["subset"] == "all") & (result.table["region"] == "simulated IT")
    ]
    expected = (found["p_corrected"] < 0.05) & (found["similarity"] > 0) & (found["layer"] != "")
    assert expected.sum() >= 1
    assert text[0].startswith(f"simulated IT: {expected.sum()} of 4 layers are shown")
    assert "net 1" in text[0]
    assert "one RDM, so there is no noise ceiling" in text[1]
    assert "new conditions, but these subjects only" in text[1]
    assert text[2].startswith(
        "simulated IT, noisy: no conclusion. The 6 subjects share no reliable"
    )


def test_answers_about_models_when_there_are_no_layers(result):
    table = result.table[result.table["layer"] == ""]
    text = answers(dataclasses.replace(result, table=table))
    assert "of 1 models are shown" in text[0]


def test_undefined_similarities_are_not_counted(result):
    table = result.table.copy()
    table.loc[table["layer"] == "conv", "similarity"] = np.nan
    assert "of 2 layers" in answers(dataclasses.replace(result, table=table))[0]


def test_notes_of_several_regions_are_said_once():
    notes = ["region 'a': too few.", "region 'b', faces: too few.", "something else"]
    assert grouped_notes(notes) == ["a; b, faces: too few.", "something else"]


# The page


class Page(HTMLParser):
    """What a reader of the page gets."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.stack, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def write(result, tmp_path):
    """Write the page with some arguments changed and read it."""
    Image.new("RGB", (4, 4)).save(tmp_path / "f.png")

    def make(*, result=result, title="simulated", sources=("nobody",)):
        account = Account(
            findings=answers(result),
            tables=result_tables(result),
            methods=methods_text(result, measure="correlation", networks=NETWORKS),
            references=references_used(result),
            sources=sources,
            legend=TABLES,
        )
        write_report(
            tmp_path / "report.html",
            title=title,
            account=account,
            notes=result.notes,
            pictures=[Picture(tmp_path / "f.png", "A caption.", "An alternative.")],
            provenance={"seed": 0, "versions": {"numpy": "2"}, "list": [1, 2]},
        )
        return (tmp_path / "report.html").read_text(encoding="utf-8")

    return make


def test_the_page_is_well_formed_and_needs_nothing_else(write):
    html = write()
    page = Page(html)
    assert page.stack == []
    sources = [a["src"] for t, a in page.tags if "src" in a]
    assert all(s.startswith("data:image/png;base64,") for s in sources)
    assert sources
    # Links lead to parts of the page itself.
    links = [a["href"] for _, a in page.tags if "href" in a]
    assert links
    assert set(links) <= {f"#{a['id']}" for _, a in page.tags if "id" in a}
    assert not {"script", "link", "iframe"} & {t for t, _ in page.tags}
    assert "url(" not in html


def test_caveats_come_before_the_answer_and_the_answer_before_figures(write):
    text = Page(write()).text
    places = [
        text.index(w)
        for w in (
            "Before you conclude",
            "What was found",
            "Figures",
            "Tables",
            "Methods",
            "Sources",
            "Provenance",
        )
    ]
    assert places == sorted(places)


def test_every_picture_has_a_caption_a_number_and_an_alternative(write):
    page = Page(write())
    assert [a["alt"] for t, a in page.tags if t == "img"] == ["An alternative."]
    assert "Figure 1. A caption." in page.text


def test_text_from_outside_is_escaped(write, tmp_path):
    html = write(title="<script>alert(1)</script>", sources=["a <b>bold</b> claim"])
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "&lt;b&gt;bold" in html


def test_the_table_has_the_last_layer_and_says_the_highest_is_optimistic(write, result):
    text = Page(write()).text
    assert "chosen on these data, so its value is optimistic" in text
    last = result.table[(result.table["network"] == "net") & (result.table["layer"] == "fc")]
    assert f"{last['similarity'].iloc[0]:.3f}" in text
    assert "no reliable signal" in text
    assert "simulated IT, noisy: 6 subjects, 24 conditions" in text
    assert "one: 1 subject, 24 conditions, no noise ceiling" in text


def test_the_last_layer_is_the_deepest_whatever_the_order_of_rows(write, result):
    shuffled = dataclasses.replace(result, table=result.table.iloc[::-1].reset_index(drop=True))
    html = write(result=shuffled)
    assert re.search(r'<th scope="row">net</th><td>fc</td>', html)


def test_undefined_similarities_are_called_so(write, result):
    table = result.table.copy()
    table.loc[table["network"] == "model", ["similarity", "ci_low", "p_corrected"]] = np.nan
    text = Page(write(result=dataclasses.replace(result, table=table))).text
    assert "undefined" in text


def test_nested_provenance_is_a_flat_table(write):
    text = Page(write()).text
    assert "versions: numpy 2" in text
    assert "list 1, 2" in text


def test_without_notes_there_is_no_box(write, result):
    assert "Before you conclude" not in write(result=dataclasses.replace(result, notes=()))


def test_colours_have_contrast_of_wcag_aa(write):
    def luminance(color):
        c = np.array([int(color[i : i + 2], 16) for i in (0, 2, 4)]) / 255
        c = np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return c @ [0.2126, 0.7152, 0.0722]

    html = write()
    colors = re.findall(r"(?<![-\w])color: #(\w+)", html)
    assert len(colors) >= 2
    for color in colors:
        color = color if len(color) == 6 else "".join(2 * c for c in color)
        for background in ("ffffff", "fff7ed"):
            low, high = sorted([luminance(color), luminance(background)])
            assert (high + 0.05) / (low + 0.05) >= 4.5, color
