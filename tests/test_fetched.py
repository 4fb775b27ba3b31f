"""Data that is fetched: once, checked, resumed; without a network, one sentence says what to do."""

import hashlib
import http.server
import io
import json
import re
import sys
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pooch
import pytest
import requests
from PIL import Image

from rsa_faces._core.errors import InputError
from rsa_faces.analyses import measure_landmarks
from rsa_faces.datasets import _fetched, facesim3d, load_dataset, london
from rsa_faces.datasets.facesim3d import ARCHIVE as FACESIM
from rsa_faces.datasets.london import ARCHIVE as LONDON
from rsa_faces.datasets.london import N_LANDMARKS, N_PEOPLE
from rsa_faces.runs._entries import StimuliConfig
from rsa_faces.runs._networks import read_stimuli


class Published(http.server.BaseHTTPRequestHandler):
    """The DOI, the figshare that it leads to, and a plain address, as far as they are asked."""

    files: dict[str, bytes]
    asked: list[tuple[str, str | None]]
    cuts: dict[str, int]

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1].partition("?")[0]
        if self.path.startswith(("/v2/articles?", "/10.")):
            self.answer(json.dumps([{"id": 1}]).encode())
        elif "/versions/" in self.path:
            listed = [
                {
                    "name": name,
                    "download_url": f"https://ndownloader.figshare.com/files/{name}",
                    "computed_md5": hashlib.md5(data).hexdigest(),
                }
                for name, data in self.files.items()
            ]
            self.answer(json.dumps({"files": listed}).encode())
        else:
            self.asked.append((name, self.headers.get("Range")))
            self.send(name)

    def send(self, name):
        data = self.files[name]
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(wanted[1]) if wanted else 0
        if start >= len(data):
            self.send_error(416)
            return
        self.answer(data[start:], 206 if wanted else 200, self.cuts.pop(name, None))

    def answer(self, data, status=200, cut=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A local server in the place of every address; nothing goes out."""
    handler = type("Handler", (Published,), {"files": {}, "asked": [], "cuts": {}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    local = f"http://127.0.0.1:{server.server_address[1]}"
    get = requests.get

    def to_local(url, **options):
        answer = get(local + re.sub(r"^https://[^/]*", "", url), **options)
        if url.startswith("https://doi.org/"):
            answer.url = "https://figshare.com/articles/dataset/faces/1"
        return answer

    monkeypatch.setattr(requests, "get", to_local)
    monkeypatch.setenv(_fetched.FOLDER, str(tmp_path / "data"))
    monkeypatch.setattr(pooch.get_logger(), "info", lambda *said: None)  # it keeps an old stderr
    for load in (london, facesim3d):
        load.cache_clear()
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()
    for load in (london, facesim3d):
        load.cache_clear()


def archives() -> dict[str, bytes]:
    """Return archives in the form of the London set: 102 small pictures of each expression."""
    packed = {}
    points = np.random.default_rng(0).uniform(0, 8, (N_LANDMARKS, 2))
    template = "\n".join([str(N_LANDMARKS), *(f"{x}\t{y}" for x, y in points), "4", "0"])
    for folder, number in (("neutral_front", "03"), ("smiling_front", "08")):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for k in range(1, N_PEOPLE + 1):
                picture = io.BytesIO()
                Image.new("RGB", (8, 8), (k, int(number), 0)).save(picture, "JPEG")
                name = f"{folder}/{k:03d}_{number}"
                archive.writestr(f"{name}.jpg", picture.getvalue())
                archive.writestr(f"{name}.tem", template)
                archive.writestr(f"__MACOSX/{folder}/._{k:03d}_{number}.jpg", b"no picture")
        packed[f"{folder}.zip"] = stream.getvalue()
    rows = [f"X{k:03d},{20 + k if k > 1 else ''},female,white" for k in range(1, N_PEOPLE + 1)]
    table = "\n".join(["face_id,face_age,face_gender,face_eth", *rows])
    return {**packed, "london_faces_info.csv": table.encode()}


def test_london_is_fetched_once_and_made_whole(server, monkeypatch):
    said = []
    monkeypatch.setattr(
        pooch.get_logger(), "info", lambda text, *values: said.append(text % values)
    )
    server.files.update(archives())
    data = london()
    assert sorted(name for name, _ in server.asked) == sorted(LONDON.files)
    assert len(data.stimuli) == 2 * N_PEOPLE
    assert data.stimuli.ids[:2] == ("001_neutral", "001_smiling")
    table = data.stimuli.metadata
    assert table["identity"].tolist()[:3] == ["001", "001", "002"]
    assert np.isnan(table.loc["001_neutral", "age"])
    assert table.loc["002_smiling", "age"] == 22
    red, green, _ = data.stimuli.image("102_smiling").mean((0, 1))
    assert abs(red - 102) < 3
    assert abs(green - 8) < 3
    models = {name: data.models.sel(name=name).matrices()[0] for name in ("identity", "age")}
    place = data.models.conditions.index
    assert models["identity"][place("003_neutral"), place("003_smiling")] == 0
    assert models["identity"][place("003_neutral"), place("004_neutral")] == 1
    assert models["age"][place("003_neutral"), place("005_smiling")] == 2
    assert np.isnan(models["age"][place("001_neutral"), place("005_smiling")])
    assert len(measure_landmarks(data.landmarks)) == N_PEOPLE
    assert data.landmarks["007_neutral"].shape == (N_LANDMARKS, 2)
    assert "CC BY 4.0" in said[0]
    assert LONDON.page in said[0]
    london.cache_clear()
    assert london().stimuli.hash == data.stimuli.hash
    assert len(server.asked) == 3, "nothing is fetched twice"


def test_a_broken_fetch_goes_on_where_it_stopped(server):
    server.files.update(archives())
    server.cuts["smiling_front.zip"] = 2 * _fetched.PIECE + 100
    with pytest.raises(InputError, match="expected smiling_front.zip and .*could not fetch it"):
        london()
    had = (LONDON.folder / ".smiling_front.zip.part").stat().st_size
    assert had >= _fetched.PIECE
    assert len(london().stimuli) == 2 * N_PEOPLE
    assert ("smiling_front.zip", f"bytes={had}-") in server.asked
    assert [name for name, _ in server.asked].count("neutral_front.zip") == 1


def test_a_file_that_was_there_whole_but_not_named_yet_is_taken(server):
    server.files.update(archives())
    LONDON.folder.mkdir(parents=True)
    whole = server.files["london_faces_info.csv"]
    (LONDON.folder / ".london_faces_info.csv.part").write_bytes(whole)
    assert len(london().stimuli) == 2 * N_PEOPLE
    assert (LONDON.folder / "london_faces_info.csv").read_bytes() == whole


def test_bytes_that_are_not_those_published_are_refused(server):
    server.files.update(archives())
    LONDON.folder.mkdir(parents=True)
    (LONDON.folder / ".neutral_front.zip.part").write_bytes(b"of another time")
    with pytest.raises(InputError, match="MD5 hash of downloaded file"):
        london()
    assert not (LONDON.folder / "neutral_front.zip").exists()
    assert london().stimuli


def test_an_archive_with_other_pictures_is_refused(server):
    server.files.update(archives())
    server.files["smiling_front.zip"] = server.files["neutral_front.zip"]
    with pytest.raises(InputError, match=r"102 photographs .* got 102 and 0"):
        london()
    assert not (LONDON.folder / "photographs").exists()


@pytest.mark.parametrize("load, archive", [(london, LONDON), (facesim3d, FACESIM)])
def test_without_a_network_one_sentence_says_what_to_put_where(
    load, archive, monkeypatch, tmp_path
):
    def nowhere(url, **options):
        raise requests.ConnectionError("no route to host")

    monkeypatch.setattr(requests, "get", nowhere)
    monkeypatch.setenv(_fetched.FOLDER, str(tmp_path))
    load.cache_clear()
    with pytest.raises(InputError) as caught:
        load()
    said = str(caught.value)
    for part in (*archive.files, str(tmp_path / archive.name), archive.page, _fetched.FOLDER):
        assert part.rsplit("/", 1)[-1] in said
    assert "no route to host" in said
    assert "\n" not in said


def test_files_put_there_by_hand_need_no_network(server, monkeypatch):
    LONDON.folder.mkdir(parents=True)
    for name, data in archives().items():
        (LONDON.folder / name).write_bytes(data)
    assert len(load_dataset("london").stimuli) == 2 * N_PEOPLE
    assert server.asked == []


def test_facesim3d_reads_pairs_in_order_and_checks_what_lies_there(server, monkeypatch):
    pairs = [(i, j) for i in range(100) for j in range(i + 1, 100)]
    lines = [f'"{pair}",{(k % 98) / 98},1.0' for k, pair in enumerate(pairs)]
    table = "\n".join([",similarity,response_time", *lines]).encode()
    sex = ["WF"] * 50 + ["WM"] * 50
    heads = [f"CFD-{sex[k]}-{k:03d}.jpg,{k},y,Head{k + 1}" for k in range(100)]
    heads = "\n".join(["CFD-WF-999.jpg,9,x,_", *heads]).encode()
    server.files.update(
        {"2D_similarity-rt.csv": table, "3D_similarity-rt.csv": table, "headnmap.csv": heads}
    )
    known = {
        name: f"sha256:{hashlib.sha256(server.files[name.rsplit('/', 1)[-1]]).hexdigest()}"
        for name in FACESIM.files
    }
    module = sys.modules["rsa_faces.datasets.facesim3d"]  # the name is the function's, too
    monkeypatch.setattr(module, "ARCHIVE", replace(FACESIM, files=known))
    data = facesim3d()
    assert data.rdms.conditions[0] == "CFD-WF-000"
    two, three = (data.rdms.sel(view=view).vectors[0] for view in ("2-D", "3-D"))
    np.testing.assert_allclose(two, 1 - (np.arange(4950) % 98) / 98)
    np.testing.assert_array_equal(two, three)
    gender = data.models.matrices()[0]
    assert gender[0, 49] == 0
    assert gender[0, 50] == 1
    with pytest.raises(InputError, match="'facesim3d' has no images"):
        read_stimuli(StimuliConfig(dataset="facesim3d"))
    facesim3d.cache_clear()
    (FACESIM.folder / "headnmap.csv").write_bytes(heads + b"\n")
    with pytest.raises(InputError, match="headnmap.csv with the hash sha256:.*remove the file"):
        facesim3d()
