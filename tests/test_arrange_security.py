"""The arrangement task against people who mean harm: docs/security.md names these tests."""

import ast
import hashlib
import json
import logging
import re
import shutil
import ssl
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from test_arrange import (
    EXPERIMENTER,
    TOKEN,
    Server,
    ask,
    begin,
    body_of,
    collect,
    create_app,
    everything_in,
    links,
    load_arrange_config,
    login,
    make_client,
    make_test_client,
    submit,
    write_config,
)
from typer.testing import CliRunner

from rsa_faces._core.errors import InputError

pytest.importorskip("fastapi")
pytest.importorskip("sqlalchemy")

from rsa_faces.behaviour.arrange import _keys, _security, _store
from rsa_faces.behaviour.arrange import _serve as serving

ARRANGE = Path(serving.__file__).parent
DOCS = Path(__file__).parents[1] / "docs"
SESSION = "/api/experimenter/overview"


@pytest.fixture
def client(tmp_path):
    with make_client(tmp_path) as made:
        yield made
        made.app.state.study.store.close()


def seen_from(app, address, **options):
    """Return a client at another address."""
    return make_test_client(app, client=(address, 50000), **options)


def clock(monkeypatch):
    """Return the clock of attempts and sessions: seconds in a list."""
    now = [10_000.0]
    monkeypatch.setattr(_security.time, "monotonic", lambda: now[0])
    return now


# --- logging in -------------------------------------------------------------------------------


def test_guesses_from_everywhere_are_few_and_lock_nobody_out(client, monkeypatch, caplog):
    now, app = clock(monkeypatch), client.app
    at_work = seen_from(app, "10.9.9.9")
    assert login(at_work).status_code == 204
    device = {"cookie": f"rsa_faces_device={at_work.cookies['rsa_faces_device']}"}
    guessed = [login(seen_from(app, f"10.0.{k // 9}.{k % 9}"), "x" * 30) for k in range(100)]
    assert [a.status_code for a in guessed] == [401] * 60 + [429] * 40
    assert int(guessed[-1].headers["retry-after"]) == 3600
    assert sum("wrong experimenter's token from 10.0." in r.message for r in caplog.records) == 60
    # A browser that has been here before and the server's own computer go on; others wait.
    url, right = "/api/experimenter/login", {"token": TOKEN}
    there = seen_from(app, "10.7.7.7")
    assert there.post(url, json=right).status_code == 429
    assert there.post(url, json=right, headers=device).status_code == 204
    forged = {"cookie": f"rsa_faces_device={'0' * 32}.{'0' * 64}"}
    assert there.post(url, json=right, headers=forged).status_code == 429
    assert login(seen_from(app, "127.0.0.1")).status_code == 204
    # It is no door around the token, and what is known of a browser ends with it.
    assert there.post(url, json={"token": "y" * 30}, headers=device).status_code == 401
    app.state.study._given_hash = _security.hashed("another")
    assert there.post(url, json={"token": "another"}, headers=device).status_code == 429
    now[0] += 3601
    assert there.post(url, json={"token": "another"}).status_code == 204


def test_one_time_codes_are_those_of_the_standard():
    # RFC 6238, appendix B, the last six digits.
    secret = b"12345678901234567890"
    for moment, code in {
        59: "287082",
        1111111109: "081804",
        1111111111: "050471",
        1234567890: "005924",
        2000000000: "279037",
        20000000000: "353130",
    }.items():
        assert _keys.one_time_code(secret, moment // 30) == code


def test_the_second_factor(tmp_path, monkeypatch, caplog):
    import base64

    from rsa_faces.behaviour.arrange import _study

    now = [1_800_000_000.0]
    monkeypatch.setattr(_study.time, "time", lambda: now[0])
    config = load_arrange_config(write_config(tmp_path, second_factor=True))
    monkeypatch.delenv(config.token_variable, raising=False)
    app = create_app(config)
    token, address = app.state.new_token, app.state.new_second_factor
    secret = re.fullmatch(
        r"otpauth://totp/rsa-faces:Which%20faces%20look%20alike%3F\?secret=([A-Z2-7]{32})"
        r"&issuer=rsa-faces",
        address,
    )[1]

    def code(shift=0, secret=secret):
        return _keys.one_time_code(base64.b32decode(secret), int(now[0]) // 30 + shift)

    def enter(code, token=token):
        url = "/api/experimenter/login"
        return client.post(url, json={"token": token, "code": code}).status_code

    with make_test_client(app) as client:
        assert client.get(SESSION).json() == {"detail": "token and code needed"}
        assert login(client, token).status_code == 401
        assert enter(code(-2)) == enter(code(2)) == 401
        app.state.attempts.passed("testclient")
        assert enter(code(), token="x" * 32) == 401  # and does not use it up
        used = code()
        assert enter(used) == 204
        assert enter(used) == 401
        assert "ALERT: a one-time code was used a second time, and refused" in caplog.text
        assert enter(code(-1)) == 401
        now[0] += 30
        assert enter(code()) == 204
        app.state.attempts.passed("testclient")
        # Made anew, the old one is dead at once; so is what was open.
        assert client.get(SESSION).status_code == 200
        newer, second = serving.new_token(config)
        assert client.get(SESSION).status_code == 401
        now[0] += 60
        assert enter(code(), newer) == 401
        assert enter(code(secret=re.search("secret=([A-Z2-7]+)", second)[1]), newer) == 204
        app.state.study.store.close()
    assert create_app(config).state.new_second_factor is None
    assert secret.encode() not in everything_in(tmp_path)


def test_a_task_with_a_name_asks_for_more(tmp_path):
    named = {"hosts": ["task.example.org"], "encrypted_disk": True, "second_factor": None}
    assert load_arrange_config(write_config(tmp_path, **named)).asks_code
    assert not load_arrange_config(write_config(tmp_path, **named | {"hosts": []})).asks_code
    with pytest.raises(InputError, match="expected encrypted_disk: true with hosts"):
        load_arrange_config(write_config(tmp_path, **named | {"encrypted_disk": False}))


def test_sessions_are_listed_and_ended_by_who_has_just_logged_in(client, monkeypatch):
    now = clock(monkeypatch)
    mine, other = (seen_from(client.app, f"10.0.0.{k}") for k in (1, 2))
    assert login(mine).status_code == login(other).status_code == 204
    url = "/api/experimenter/sessions"
    assert seen_from(client.app, "10.0.0.3").get(url).status_code == 401
    listed = mine.get(url).json()
    assert {(one["address"], one["own"]) for one in listed} == {
        ("10.0.0.1", True),
        ("10.0.0.2", False),
    }
    assert all(abs(one["begun_at"] - time.time()) < 60 for one in listed)
    session = mine.cookies["rsa_faces_experimenter"]
    assert session not in json.dumps(listed)
    (name,) = (one["name"] for one in listed if not one["own"])
    # What cannot be undone asks for the token again after five minutes; the rest does not.
    now[0] += 301
    for path in (f"{url}/{name}", "/api/experimenter/raters/r0001"):
        answer = mine.delete(path)
        assert (answer.status_code, answer.json()) == (403, {"detail": "log in again"})
    assert mine.get(url).status_code == other.get(url).status_code == 200
    assert login(mine).status_code == 204
    assert mine.cookies["rsa_faces_experimenter"] != session
    assert mine.get(url, headers={"cookie": f"rsa_faces_experimenter={session}"}).status_code == 401
    assert mine.delete(f"{url}/{name}").status_code == 204
    assert other.get(url).status_code == 401
    assert mine.delete("/api/experimenter/raters/r0001").status_code == 204
    assert mine.get(url).status_code == 200


def test_common_passwords_are_no_tokens(tmp_path, monkeypatch):
    config = load_arrange_config(write_config(tmp_path))
    # The longest of the 30,000 most common ones (zxcvbn 4.5) have 20 characters.
    for common in ("q1w2e3r4t5y6u7i8o9p0", "nemvxyheqdd5oqxyxyzi", "12345678900987654321"):
        monkeypatch.setenv(config.token_variable, common)
        with pytest.raises(InputError, match=r"at least 22 characters.*got 20 characters"):
            create_app(config)


# --- who may do what ----------------------------------------------------------------------------

#: What is there for everybody; each other route asks for a link or a session.
PUBLIC = {
    "/",
    "/t",
    "/t/{token}",
    "/experimenter",
    "/favicon.ico",
    "/api/texts",
    "/api/enrol",
    "/stimuli/{public}",
    "/api/experimenter/login",
    "/api/experimenter/logout",
}


def test_every_route_asks_for_a_link_or_a_session(client):
    routes = client.app.openapi()["paths"]
    assert set(routes) > PUBLIC
    asked = 0
    for path, methods in routes.items():
        for method in methods if path not in PUBLIC else ():
            answer = client.request(method.upper(), re.sub(r"\{\w+\}", "1", path), json={})
            assert answer.status_code in ((401,) if "experimenter" in path else (404,)), path
            assert answer.json()["detail"] in ("token needed", "unknown link"), path
            asked += 1
    assert asked >= 15


def test_other_computers_need_https(tmp_path):
    config = load_arrange_config(write_config(tmp_path, plain_http=False))
    app = create_app(config, token=TOKEN)
    for address, base, status in (
        ("10.0.0.1", "https://testserver", 200),
        ("10.0.0.1", "http://testserver", 403),
        ("10.0.0.1", "http://127.0.0.1", 403),
        ("127.0.0.1", "http://testserver", 403),  # a proxy that does not say how it was asked
        ("127.0.0.1", "http://localhost:8000", 200),
        ("::1", "http://[::1]:8000", 200),
    ):
        answer = seen_from(app, address, base_url=base).get("/api/texts")
        assert answer.status_code == status, (address, base)
    app.state.study.store.close()


def test_a_parameter_that_comes_twice_is_refused(client):
    url = "/api/experimenter/matrix/rdm"
    for query, status in (("rater=r0001", 200), ("rater=r0001&rater=r0002", 400), ("a=&a", 400)):
        assert client.get(f"{url}?{query}", headers=EXPERIMENTER).status_code == status


def test_where_a_page_says_it_is_opens_nothing(client):
    for headers in ({"origin": "http://testserver"}, {"origin": "null"}, {"referer": "/"}):
        assert client.get(SESSION, headers=headers).status_code == 401


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second address of this computer")
def test_who_is_no_proxy_on_this_computer_cannot_say_who_asks(tmp_path):
    import httpx

    server = Server(write_config(tmp_path, plain_http=False))
    try:
        forged = {"x-forwarded-for": "8.8.8.8", "x-forwarded-proto": "https"}
        url = server.url + "/api/experimenter/login"
        for own in ("127.0.0.2", "127.0.0.1"):
            with httpx.Client(transport=httpx.HTTPTransport(local_address=own)) as client:
                answer = client.post(url, json={"token": "x"}, headers=forged)
                assert answer.status_code == 401
                assert ("strict-transport-security" in answer.headers) is (own == "127.0.0.1")
    finally:
        server.stop()
    log = server.process.stdout.read()
    assert "wrong experimenter's token from 127.0.0.2" in log
    assert "wrong experimenter's token from 8.8.8.8" in log


def test_control_characters_are_no_text(client):
    collect(client)
    url = "/api/experimenter/raters/r0001/trials/1/void"
    for reason in ("a\0b", "a\nb", "\x1b[2J", "x" * 501):
        answer = client.post(url, json={"reason": reason}, headers=EXPERIMENTER)
        assert answer.status_code == 422
    assert client.post(url, json={"reason": "ok"}, headers=EXPERIMENTER).status_code == 204


def test_a_trial_that_no_person_did_has_to_wait(tmp_path):
    with make_client(tmp_path, fastest=1.0) as client:
        link, state = begin(client)
        body, n_items = body_of(state["trial"]), len(state["trial"]["items"])
        early = submit(client, link, state["trial"], body)
        assert (early.status_code, early.headers["retry-after"]) == (429, str(n_items))
        assert client.get(link).json() == state
        with client.app.state.study.store._writing() as db:
            db.exec_driver_sql(f"UPDATE trials SET shown_at = shown_at - {n_items}")
        assert submit(client, link, state["trial"], body).json()["saved"]
        client.app.state.study.store.close()


def test_what_pages_load_holds_no_secret(client):
    (link, _), study = links(client), client.app.state.study
    secrets = [TOKEN, link.removeprefix("/api/t#"), study.store.setting("secret")]
    loaded = ["/", "/t", "/experimenter", "/api/texts"]
    loaded += [f"/static/{path.name}" for path in (ARRANGE / "static").iterdir()]
    for path in loaded:
        text = client.get(path).text
        assert not any(secret in text for secret in secrets), path


# --- what is logged and told ----------------------------------------------------------------------


def test_refused_requests_are_logged_without_links(client, caplog):
    link, state = begin(client)
    token = link.removeprefix("/api/t#")
    submit(client, link, state["trial"], {"placements": [], "seconds": -1})
    client.get(f"/api/t#{'x' * 32}")
    client.get(f"/nothing/{token}")
    client.get(SESSION)
    client.post(f"{link}/consent", content=b"x", headers={"content-type": "text/plain"})
    lines = [r.getMessage() for r in caplog.records if r.name.endswith("_security")]
    for line in (
        "422 POST /api/t/trials/{trial} from testclient",
        "404 GET /api/t from testclient",
        "404 GET another page from testclient",
        f"401 GET {SESSION} from testclient",
        "415 POST another page from testclient",
    ):
        assert line in lines
    assert token not in caplog.text


def test_who_sees_data_is_logged(client, caplog):
    collect(client)
    client.get("/api/experimenter/export/trials.csv", headers=EXPERIMENTER)
    client.get("/api/experimenter/raters/r0002/export", headers=EXPERIMENTER)
    assert "trials.csv for the experimenter at testclient" in caplog.text
    assert "all data of one person for the experimenter at testclient" in caplog.text
    assert "r0002" not in caplog.text


def test_a_line_of_the_log_is_one_event_in_utc():
    from rsa_faces.cli._arrange import line_of_log

    record = logging.LogRecord(
        "a", logging.WARNING, "", 0, "x %s", ("a\n2026 FORGED\x1b[2J",), None
    )
    record.created = 0.0
    line = line_of_log().format(record)
    assert line == "1970-01-01T00:00:00Z WARNING x a\\n2026 FORGED\\x1b[2J"


def test_what_is_unusual_is_told(tmp_path):
    told = tmp_path / "told.txt"
    write = f"import sys; open({str(told)!r}, 'a').write(sys.stdin.read())"
    alert = [sys.executable, "-I", "-S", "-c", write]
    with make_client(tmp_path, alert=alert, alert_after=3) as client:
        for _ in range(7):
            client.get(SESSION)
        assert login(client).status_code == 204
        end, lines = time.monotonic() + 60, []
        while len(lines) < 2 and time.monotonic() < end:
            lines = told.read_text().splitlines() if told.exists() else []
            time.sleep(0.05)
        client.app.state.study.store.close()
    assert sorted(lines) == [
        "3 refused requests from testclient within an hour",
        "the experimenter logged in with a new browser from testclient",
    ]


def test_many_requests_are_unusual_too(caplog):
    watch = _security.Watch(["/no/such/command"], 2)
    for _ in range(500):
        watch.count("requests", "10.0.0.1")
        watch.count("requests", "10.0.0.2")
    assert [r.message for r in caplog.records if "ALERT" in r.message] == [
        "ALERT: 200 requests from 10.0.0.1 within an hour",
        "ALERT: 200 requests from 10.0.0.2 within an hour",
    ]


# --- keys, files, databases -----------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux")
def test_the_server_never_has_the_key_and_leaves_no_dump(tmp_path):
    server = Server(write_config(tmp_path))
    try:
        assert ask("GET", server.url + SESSION, headers=EXPERIMENTER).status_code == 200
        process = Path(f"/proc/{server.process.pid}")
        limits = (process / "limits").read_text()
        assert re.search(r"Max core file size +0 +0", limits)
        key = (tmp_path / "arrange.key").read_text()
        wanted, regions = (key.encode(), bytes.fromhex(key)), 0
        try:
            memory = (process / "mem").open("rb", buffering=0)
            maps = (process / "maps").read_text()
        except PermissionError:
            return  # nobody but root can look
        with memory:
            for line in maps.splitlines():
                start, end = (int(at, 16) for at in line.split()[0].split("-"))
                if line.split()[1].startswith("rw"):
                    try:
                        memory.seek(start)
                        content = memory.read(end - start)
                    except (OSError, ValueError, OverflowError):
                        continue
                    regions += 1
                    assert not any(one in content for one in wanted), line
        assert regions > 10
    finally:
        server.stop()


def test_the_key_may_be_a_file_that_somebody_else_made(tmp_path):
    # As systemd gives a credential that was sealed with the computer's TPM.
    key = tmp_path / "credentials" / "arrange.key"
    key.parent.mkdir()
    key.write_text("ab" * 32)
    key.chmod(0o400)
    key.parent.chmod(0o500)
    with make_client(tmp_path, link_key=str(key)) as client:
        assert client.get(links(client)[0]).status_code == 200
        client.app.state.study.store.keeper._process.kill()  # a new one takes its place
        client.app.state.study.store.keeper._process.wait()
        assert client.get(links(client)[0]).status_code == 200
        client.app.state.study.store.close()
    assert key.read_text() == "ab" * 32
    key.parent.chmod(0o700)


def test_how_secrets_are_hashed_can_be_replaced(tmp_path, monkeypatch):
    config = load_arrange_config(write_config(tmp_path))
    monkeypatch.delenv(config.token_variable, raising=False)
    app = create_app(config)
    study, old = app.state.study, app.state.new_token
    assert study.store.setting("token") == "sha256:" + hashlib.sha256(old.encode()).hexdigest()
    # A database from before the algorithm was named.
    study.store.set_setting("token", hashlib.sha256(old.encode()).hexdigest())
    assert study.is_token(old)
    (before, _) = study.store.raters()
    newer = {"sha3": lambda b: hashlib.sha3_256(b).hexdigest()}
    monkeypatch.setattr(_security, "HASHES", _security.HASHES | newer)

    def first(token):
        return hashlib.sha3_256(token.encode()).hexdigest()[:40]

    monkeypatch.setattr(_store, "LINK_HASHES", (first, *_store.LINK_HASHES))
    assert study.is_token(old)
    new = study.set_token(new=True)
    assert study.store.setting("token").startswith("sha3:")
    assert study.is_token(new)
    assert not study.is_token(old)
    (made,) = study.store.add_raters(1)
    assert study.store.rater(made.token).label == "r0003"
    assert study.store.rater(before.token).label == "r0001"
    assert [r.token for r in study.store.raters()][::2] == [before.token, made.token]
    study.store.close()


@pytest.mark.parametrize(
    "url, match",
    [
        ("postgresql+psycopg://me:secret@localhost/x", "without a password"),
        ("postgresql+psycopg://me@db.example.org/x", r"sslmode=verify-full.*db.example.org"),
        ("postgresql+psycopg://me@10.0.0.1/x?sslmode=require", "sslmode=verify-full"),
        ("postgresql+psycopg://me@/x?host=db.example.org", "sslmode=verify-full"),
    ],
)
def test_databases_elsewhere_need_tls_and_no_password_here(tmp_path, url, match):
    with pytest.raises(InputError, match=match) as caught:
        make_client(tmp_path, database=url)
    assert "secret" not in str(caught.value)
    from sqlalchemy.engine import make_url

    for fine in (
        "postgresql://me@/x?host=/run/postgresql",
        "postgresql://me@127.0.0.1/x",
        "postgresql://me@db.example.org/x?sslmode=verify-full",
    ):
        _store._check_remote(make_url(fine))


def test_what_is_written_out_is_private(tmp_path, client):
    collect(client)
    config = client.app.state.study.config
    files = [*serving.export_study(config, tmp_path / "out")]
    files.append(serving.export_person(config, "r0001", tmp_path / "out"))
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert sorted(path.name for path in files) == sorted(
        p.name for p in (tmp_path / "out").iterdir()
    )


def test_a_task_is_restored_from_its_files(tmp_path, client):
    from rsa_faces.cli._app import app

    collect(client, 1)
    before = client.get("/api/experimenter/export/arrangements.json", headers=EXPERIMENTER).json()
    (link, _) = links(client)
    client.app.state.study.store._empty_log()
    there = tmp_path / "elsewhere"
    there.mkdir()
    for name in ("task.yaml", "arrange.sqlite", "arrange.key", "faces"):
        copy = shutil.copytree if (tmp_path / name).is_dir() else shutil.copy
        copy(tmp_path / name, there / name)
    restored = create_app(load_arrange_config(there / "task.yaml"), token=TOKEN)
    with make_test_client(restored) as again:
        assert links(again)[0] == link
        export = again.get("/api/experimenter/export/arrangements.json", headers=EXPERIMENTER)
        assert export.json() == before
        restored.state.study.store.close()
    run = CliRunner().invoke(
        app, ["arrange", "export", str(there / "task.yaml"), "--out", str(there / "out")]
    )
    assert run.exit_code == 0, run.output


# --- the code -------------------------------------------------------------------------------------


def calls():
    """Yield each call in the code of the task: its file, the name called, the node."""
    for path in ARRANGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path.name, ast.unparse(node.func), node


def test_formats_are_constant():
    logged = 0
    for file, name, node in calls():
        assert not name.endswith((".format", ".format_map")), (file, name)
        assert name not in ("eval", "exec", "compile", "__import__", "os.system"), (file, name)
        if name.startswith("_log."):
            assert isinstance(node.args[0], ast.Constant), (file, ast.unparse(node))
            logged += 1
    assert logged > 10


def test_only_proven_algorithms_make_secrets():
    used = {name for _, name, _ in calls() if re.fullmatch(r"(hashlib|secrets|hmac)\.\w+", name)}
    assert used == {
        "hashlib.sha256",
        "secrets.token_hex",
        "secrets.token_urlsafe",
        "hmac.digest",
        "hmac.new",
        "hmac.compare_digest",
    }
    texts = {path.name: path.read_text(encoding="utf-8") for path in ARRANGE.glob("*.py")}
    # SHA-1 only within HMAC, for authenticator apps; chance that may be guessed orders stimuli.
    assert [file for file, text in texts.items() if re.search("sha1|md5", text)] == ["_keys.py"]
    assert not any(re.search(r"^import random|from random", t, re.M) for t in texts.values())
    assert [file for file, text in texts.items() if "np.random" in text] == ["_engine.py"]


def test_a_checker_of_security_finds_nothing():
    command = [sys.executable, "-m", "ruff", "check", "--select", "S", "--isolated", str(ARRANGE)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named" in run.stderr:
        pytest.skip("needs ruff")
    assert run.returncode == 0, run.stdout


# --- the documents --------------------------------------------------------------------------------


def test_everything_that_is_stored_is_described():
    text = (DOCS / "data_protection.md").read_text(encoding="utf-8")
    for table in _store._metadata.tables.values():
        for column in table.columns:
            assert f"`{table.name}.{column.name}`" in text, column
    scripts = "".join(path.read_text() for path in (ARRANGE / "static").glob("*.js"))
    kept = set(re.findall(r'keep\("(\w+)"', scripts))
    assert kept
    assert all(f"`rsa-faces:{kind}`" in text for kind in kept)
    assert not re.search(r"sessionStorage|indexedDB|document\.cookie", scripts)


def blocks(language):
    text = (DOCS / "security.md").read_text(encoding="utf-8")
    found = re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)
    return [textwrap.dedent(block) for block in found]


def test_the_proxy_of_the_documents_speaks_strong_tls_only():
    (nginx,) = blocks("nginx")
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in nginx
    assert "return 301 https://" in nginx
    assert "ssl_stapling on;" in nginx
    (ciphers,) = re.findall(r"ssl_ciphers (\S+);", nginx)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(ciphers)
    chosen = context.get_ciphers()
    assert len(chosen) >= 4
    assert all(one["aead"] and one["strength_bits"] >= 128 for one in chosen)
    assert all(one["kea"] in ("kx-ecdhe", "kx-any") for one in chosen)


def test_the_service_of_the_documents_has_no_rights_it_does_not_need():
    (unit,) = blocks("ini")
    for line in (
        "User=arrange",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "CapabilityBoundingSet=",
        "UMask=0077",
        "LimitCORE=0",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "SystemCallFilter=@system-service",
        "LoadCredentialEncrypted=arrange.key",
    ):
        assert f"\n{line}" in unit, line


#: How many items of levels 1 and 2 each section of ASVS 4.0.3 has; (…): only these are left of it.
ASVS = {
    "1.1": 7,
    "1.2": 4,
    "1.4": (1, 4, 5),
    "1.5": 4,
    "1.6": 4,
    "1.7": 2,
    "1.8": 2,
    "1.9": 2,
    "1.10": 1,
    "1.11": 2,
    "1.12": (2,),
    "1.14": 6,
    "2.1": 12,
    "2.2": 3,
    "2.3": 3,
    "2.4": 6,
    "2.5": 7,
    "2.6": 3,
    "2.7": 6,
    "2.8": 7,
    "2.9": 3,
    "2.10": 4,
    "3.1": 1,
    "3.2": 4,
    "3.3": 4,
    "3.4": 5,
    "3.5": 3,
    "3.7": 1,
    "4.1": (1, 2, 3, 5),
    "4.2": 2,
    "4.3": 3,
    "5.1": 5,
    "5.2": 8,
    "5.3": 10,
    "5.4": 3,
    "5.5": 4,
    "6.1": 3,
    "6.2": 6,
    "6.3": 2,
    "6.4": 2,
    "7.1": 4,
    "7.2": 2,
    "7.3": (1, 3, 4),
    "7.4": 3,
    "8.1": 4,
    "8.2": 3,
    "8.3": 8,
    "9.1": 3,
    "9.2": 4,
    "10.2": 2,
    "10.3": 3,
    "11.1": 8,
    "12.1": 3,
    "12.2": 1,
    "12.3": 6,
    "12.4": 2,
    "12.5": 2,
    "12.6": 1,
    "13.1": (1, 3, 4, 5),
    "13.2": (1, 2, 3, 5, 6),
    "13.3": 2,
    "13.4": 2,
    "14.1": 4,
    "14.2": 6,
    "14.3": (2, 3),
    "14.4": 7,
    "14.5": 4,
}


def items_of(section):
    numbers = ASVS[section]
    numbers = range(1, numbers + 1) if isinstance(numbers, int) else numbers
    return [f"{section}.{number}" for number in numbers]


def expanded(cell):
    """Return the items that a cell of the table names: 5.2.1, 5.2.5 to 5.2.8, 2.7 (all of it)."""
    for part in cell.split(","):
        first, _, last = (end.strip() for end in part.partition(" to "))
        if first.count(".") == 1:
            yield from items_of(first)
        else:
            section, _, low = first.rpartition(".")
            high = last.rpartition(".")[2] or low
            yield from (f"{section}.{k}" for k in range(int(low), int(high) + 1))


def test_the_table_has_every_item_and_names_what_there_is():
    text = (DOCS / "security.md").read_text(encoding="utf-8")
    here = Path(__file__).parent
    tests = "".join(path.read_text(encoding="utf-8") for path in here.glob("test_arrange*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in tests, name
    headings = {re.sub(r"\W+", "-", h.lower()) for h in re.findall(r"^## (.+)$", text, re.M)}
    table = text.partition("## OWASP ASVS")[2]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| ")][1:]
    there = [item for row in rows for item in expanded(row[0])]
    assert sorted(there) == sorted(item for section in ASVS for item in items_of(section))
    assert len(there) == 260
    for item, state, reason in rows:
        assert state.strip() in ("pass", "n/a"), item
        places = re.findall(r"\(#([\w-]+)\)", reason)
        assert set(places) <= headings, item
        files = [f for f in re.findall(r"`([\w./-]+/[\w.-]+)`", reason) if f[0] != "/"]
        assert all((DOCS.parent / file).exists() for file in files if "~" not in file), item
        named = re.search(r"`test_\w+`", reason) or places or files
        assert named or state.strip() == "n/a" or reason.strip().startswith("the same"), item
