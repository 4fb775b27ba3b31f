"""The multi-arrangement task in a real Chromium: a simulated rater drags, and things go wrong."""

import importlib.util
import json
import re
import shutil
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_arrange import (
    EXPERIMENTER,
    TOKEN,
    Client,
    Server,
    ask,
    n_free_port,
    stored,
    url_of,
    write_config,
)

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")
pytest.importorskip("sqlalchemy")
webdriver = pytest.importorskip("selenium.webdriver")
exceptions = pytest.importorskip("selenium.common.exceptions")
NOT_YET = (
    exceptions.StaleElementReferenceException,
    exceptions.NoSuchElementException,
    exceptions.NoAlertPresentException,
    exceptions.ElementNotInteractableException,
    exceptions.ElementClickInterceptedException,
)

from rsa_faces.behaviour.arrange._keys import Keeper  # noqa: E402 (what it needs is there)

# The package of axe-core for another driver; its script is the same for all.
AXE = importlib.util.find_spec("axe_playwright_python")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]

N_IMAGES = 8
#: The simulated rater's picture of the stimuli: two groups, and places within them.
TRUTH = np.array(
    [
        [-0.9, 0.1],
        [-0.7, 0.4],
        [-0.6, -0.3],
        [-0.4, 0.0],
        [0.8, 0.5],
        [0.6, -0.5],
        [0.5, 0.1],
        [0.9, -0.1],
    ]
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--mute-audio",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(DRIVER))
    made.set_window_size(1366, 900)
    yield made
    made.quit()


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """A task of eight pictures, all in each trial, and its server; each test takes a new link."""
    config = write_config(
        tmp_path_factory.mktemp("task"),
        n_images=N_IMAGES,
        max_items=N_IMAGES,
        stop={"trials": 2},
        raters={"links": 1},
    )
    server = Server(config)
    yield server
    server.stop()


@pytest.fixture
def path(task):
    """The link of a new rater."""
    url = task.url + "/api/experimenter/raters"
    return ask("POST", url, headers=EXPERIMENTER, json={"count": 1}).json()[0]["path"]


def overview(server):
    return ask("GET", server.url + "/api/experimenter/overview", headers=EXPERIMENTER).json()


def numbers(server):
    """Return the number of each stimulus by its id on the page."""
    matrix = ask("GET", server.url + "/api/experimenter/matrix/rdm", headers=EXPERIMENTER).json()
    return {item: i for i, item in enumerate(matrix["items"])}


def rater_of(server, path):
    """Return what the experimenter's page says of a rater."""
    (one,) = [r for r in overview(server)["raters"] if r["path"] == path]
    return one


def eventually(check, seconds=60):
    """Wait until a check fails no longer, and return what it returns.

    The page draws its lists anew by itself, and itself after a click: what was just found may be
    gone, what is looked for not there yet.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            return check()
        except (AssertionError, exceptions.WebDriverException) as err:
            # A node that went while it was asked for is an "inspector error" to some drivers.
            passing = isinstance(err, (AssertionError, *NOT_YET)) or "inspector error" in str(err)
            if not passing or time.monotonic() > end:
                raise
        time.sleep(0.05)


def until(condition, seconds=60):
    """Wait until something holds, and return it."""

    def check():
        found = condition()
        assert found, "waited in vain"
        return found

    return eventually(check, seconds)


def element(driver, css):
    """Return an element, once the page has it."""
    return eventually(lambda: driver.find_element("css selector", css))


def press(driver, css="#message-buttons button"):
    def pressed():
        button = element(driver, css)
        assert button.is_enabled()
        button.click()

    eventually(pressed)


def visit(driver, url):
    """Open a page anew: an address that differs behind the # only would leave the old one there."""
    driver.get("about:blank")
    driver.get(url)


def open_login(driver, server):
    """Open the experimenter's page as somebody who has not logged in."""
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    visit(driver, server.url + "/experimenter")
    until(lambda: element(driver, "#login-page").is_displayed())


def log_in(driver, server):
    open_login(driver, server)
    element(driver, "#token").send_keys(TOKEN)
    press(driver, "#login button")
    until(lambda: element(driver, "#all").is_displayed())


def choose_rater(driver, who):
    until(lambda: driver.find_elements("css selector", f'#whom option[value="{who}"]'))
    driver.execute_script(
        "const s = document.getElementById('whom'); s.value = arguments[0]; "
        "s.dispatchEvent(new Event('change'))",
        who,
    )


def items(driver):
    return driver.find_elements("css selector", ".item")


def open_trial(driver, server, path):
    """Open a link and go past consent, instructions and practice."""
    link = f"{server.url}/api{path}"
    ask("POST", link + "/consent")
    ask("POST", link + "/ready")
    visit(driver, server.url + path)
    until(lambda: len(items(driver)) == N_IMAGES)


def drag(driver, item, x, y):
    """Drag an item to a place of the arena, in radii of it, y up."""
    from selenium.webdriver.common.action_chains import ActionChains

    arena, at = element(driver, "#arena").rect, item.rect
    to_x = arena["x"] + arena["width"] / 2 * (1 + x)
    to_y = arena["y"] + arena["height"] / 2 * (1 - y)
    steps = ActionChains(driver, duration=20).move_to_element(item).click_and_hold()
    steps.move_by_offset(
        round(to_x - at["x"] - at["width"] / 2), round(to_y - at["y"] - at["height"] / 2)
    ).release().perform()


def drag_all(driver, number, places=TRUTH):
    """Arrange all items as the simulated rater sees them."""
    for item in items(driver):
        shown = item.find_element("tag name", "img").get_attribute("src").rsplit("/", 1)[1]
        drag(driver, item, *places[number[shown]])


def n_done(server, path):
    return rater_of(server, path)["progress"]["n_trials"]


def test_a_rater_completes_a_session_by_dragging(driver, task, path):
    number = numbers(task)
    driver.get_log("performance")
    visit(driver, task.url + path)
    press(driver)  # consent
    until(lambda: "What to do" in element(driver, "#message").text)
    press(driver)  # instructions
    practice = until(lambda: items(driver))
    rng = np.random.default_rng(0)
    for item in practice:
        drag(driver, item, *rng.uniform(-0.6, 0.6, 2))
    press(driver, "#done")
    for trial in (1, 2):
        until(lambda trial=trial: element(driver, "#trial-heading").text == f"Trial {trial}")
        until(lambda: len(items(driver)) >= 3)  # later trials show the weakest pairs only
        drag_all(driver, number)
        press(driver, "#done")
    until(lambda: not items(driver) and element(driver, "#message-heading").text)
    assert n_done(task, path) == 2
    rdm = f"{task.url}/api/experimenter/matrix/rdm?rater={rater_of(task, path)['rater']}"
    values = ask("GET", rdm, headers=EXPERIMENTER).json()["values"]
    row, col = np.triu_indices(N_IMAGES, k=1)
    truth = np.linalg.norm(TRUTH[row] - TRUTH[col], axis=1)
    r = np.corrcoef(np.array(values, float), truth)[0, 1]
    assert r > 0.9
    # Nothing came from elsewhere.
    requests = [
        entry["message"]
        for entry in driver.get_log("performance")
        if 'Network.requestWillBeSent"' in entry["message"]
    ]
    urls = [json.loads(m)["message"]["params"]["request"]["url"] for m in requests]
    assert len(urls) > 10
    assert all(url.startswith((task.url, "data:")) for url in urls), urls


def test_a_refresh_in_the_middle_loses_nothing(driver, task, path):
    open_trial(driver, task, path)
    for item, (x, y) in list(zip(items(driver), TRUTH, strict=True))[:3]:
        drag(driver, item, x * 0.9, y * 0.9)
    before = [item.rect for item in items(driver)[:3]]
    left = element(driver, "#remaining").text
    driver.refresh()
    until(lambda: len(items(driver)) == N_IMAGES)
    until(lambda: element(driver, "#remaining").text == left)

    def same_places():
        for old, new in zip(before, [item.rect for item in items(driver)[:3]], strict=True):
            assert old["x"] == pytest.approx(new["x"], abs=1)
            assert old["y"] == pytest.approx(new["y"], abs=1)

    eventually(same_places)


def test_two_tabs_of_one_rater_do_not_mix(driver, task, path):
    open_trial(driver, task, path)
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    try:
        visit(driver, task.url + path)
        until(lambda: "message" and element(driver, "#message-heading").text)
        assert not items(driver)
        press(driver)  # go on here
        until(lambda: len(items(driver)) == N_IMAGES)
        driver.switch_to.window(first)
        until(lambda: not items(driver))
    finally:
        for handle in driver.window_handles:
            if handle != first:
                driver.switch_to.window(handle)
                driver.close()
        driver.switch_to.window(first)


def offline(driver, off):
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": off, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
    )


def test_a_moment_offline_loses_nothing(driver, task, path):
    number = numbers(task)
    open_trial(driver, task, path)
    drag_all(driver, number)
    offline(driver, True)
    try:
        element(driver, "#done").click()
        until(lambda: "warn" in element(driver, "#notice").get_attribute("class"))
        assert n_done(task, path) == 0
    finally:
        offline(driver, False)
    until(lambda: n_done(task, path) == 1)
    until(lambda: element(driver, "#trial-heading").text == "Trial 2")


def test_the_back_button_leaves_nothing_behind(driver, task, path):
    open_trial(driver, task, path)
    drag(driver, items(driver)[0], 0, 0)
    left = element(driver, "#remaining").text
    driver.back()
    until(lambda: element(driver, "#notice").text)
    assert driver.current_url == task.url + path
    assert element(driver, "#remaining").text == left


def test_a_killed_server_loses_nothing(driver, tmp_path):
    config = write_config(
        tmp_path, n_images=N_IMAGES, max_items=N_IMAGES, stop={"trials": 2}, raters={"links": 1}
    )
    port = n_free_port()
    server = Server(config, port)
    try:
        path, number = overview(server)["raters"][0]["path"], numbers(server)
        open_trial(driver, server, path)
        drag_all(driver, number)
        server.kill()
        element(driver, "#done").click()
        until(lambda: "warn" in element(driver, "#notice").get_attribute("class"))
        server = Server(config, port)
        until(lambda: n_done(server, path) == 1)
        ids = {f"secret_name_{i:03d}": item for item, i in number.items()}
        places = stored(url_of(config), ids, [path])[path][1]
        for item, i in number.items():
            assert places[item] == pytest.approx(TRUTH[i] / 2, abs=0.01)
        # The same, and the page is closed before the server is back: it sends when opened again.
        until(lambda: element(driver, "#trial-heading").text == "Trial 2")
        drag_all(driver, number)
        server.kill()
        element(driver, "#done").click()
        until(lambda: "warn" in element(driver, "#notice").get_attribute("class"))
        driver.get("about:blank")
        server = Server(config, port)
        assert n_done(server, path) == 1
        visit(driver, server.url + path)
        until(lambda: element(driver, "#message-heading").text == "Thank you!")
        assert n_done(server, path) == 2
    finally:
        server.stop()


def test_the_next_person_is_not_offered_the_link_of_the_last(driver, tmp_path):
    config = write_config(tmp_path, n_images=N_IMAGES, raters={"open": True})
    server = Server(config)
    try:
        driver.get(server.url + "/")
        press(driver)
        until(lambda: "/t#" in driver.current_url)
        mine = driver.current_url.rsplit("#", 1)[1]
        press(driver)
        until(lambda: "What to do" in element(driver, "#message-heading").text)
        url = server.url + "/api/experimenter/export/arrangements.json"
        raters = ask("GET", url, headers=EXPERIMENTER).json()["raters"]
        (rater,) = [r for r in raters if r["consented_at"] is not None]
        assert re.fullmatch(r"\d+00x\d+00", rater["screen"])
        assert rater["pointer"] in ("mouse", "touch")
        driver.get(server.url + "/")
        until(lambda: driver.find_elements("css selector", "#message-buttons button"))
        assert len(driver.find_elements("css selector", "#message-buttons button")) == 1
        assert mine not in driver.page_source
        stored = driver.execute_script("return JSON.stringify(localStorage)")
        assert mine not in stored
        press(driver)
        until(lambda: "/t#" in driver.current_url)
        assert mine not in driver.current_url
    finally:
        server.stop()


def test_a_trial_is_voided_on_the_page(driver, task, path):
    number = numbers(task)
    open_trial(driver, task, path)
    drag_all(driver, number)
    press(driver, "#done")
    until(lambda: n_done(task, path) == 1)
    who = rater_of(task, path)["rater"]
    log_in(driver, task)
    choose_rater(driver, who)
    until(lambda: driver.find_elements("css selector", "#trials input"))
    until(lambda: not element(driver, "#trials input").send_keys("the phone rang"))
    press(driver, "#trials button")
    until(lambda: "is void" in element(driver, "#one-told").text)
    until(lambda: "the phone rang" in element(driver, "#trials").get_attribute("textContent"))
    assert n_done(task, path) == 0
    assert rater_of(task, path)["n_voided"] == 1
    press(driver, "#trials button")
    until(lambda: "valid again" in element(driver, "#one-told").text)
    assert n_done(task, path) == 1
    # Deleting asks first.
    press(driver, "#one-forget")
    until(lambda: driver.switch_to.alert).dismiss()
    assert rater_of(task, path)["rater"] == who
    press(driver, "#one-forget")
    until(lambda: driver.switch_to.alert).accept()
    until(lambda: who not in [r["rater"] for r in overview(task)["raters"]])
    until(lambda: not driver.find_elements("css selector", f'#raters [data-rater="{who}"]'))
    press(driver, "#logout")
    until(lambda: element(driver, "#login-page").is_displayed())
    # The back button shows nothing of what was there.
    driver.get(task.url + "/")
    driver.back()
    until(lambda: element(driver, "#login-page").is_displayed())
    assert not element(driver, "#all").is_displayed()
    assert not driver.find_elements("css selector", "#raters tr")


def violations(driver):
    """Return what axe-core finds on the page, of WCAG 2.2 A and AA."""
    script = Path(AXE.origin).with_name("axe.min.js")
    driver.execute_script(script.read_text(encoding="utf-8"))
    found = driver.execute_async_script(
        "const done = arguments[arguments.length - 1]; axe.run(document, {runOnly: ['wcag2a', "
        "'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}).then(r => done(r), e => done(String(e)))"
    )
    assert found["passes"]
    return {one["id"]: [node["target"] for node in one["nodes"]] for one in found["violations"]}


@pytest.mark.skipif(AXE is None, reason="needs axe-playwright-python")
def test_no_page_violates_wcag(driver, tmp_path):
    plan = {"open": True, "code": "a code of a class", "links": 1}
    config = write_config(
        tmp_path, n_images=N_IMAGES, max_items=N_IMAGES, stop={"trials": 1}, raters=plan
    )
    server = Server(config)
    number = numbers(server)
    found = {}

    def check(name, css):
        until(lambda: [e for e in driver.find_elements("css selector", css) if e.is_displayed()])
        found[name] = violations(driver)

    try:
        driver.get(server.url + "/")
        check("start", "#message-buttons input")
        visit(driver, server.url + "/t#" + "x" * 32)
        check("unknown link", "#message-heading")
        url = server.url + "/api/experimenter/raters"
        path = ask("POST", url, headers=EXPERIMENTER, json={"count": 1}).json()[0]["path"]
        visit(driver, server.url + path)
        check("consent", "#message-buttons button")
        press(driver)
        until(lambda: "What to do" in element(driver, "#message-heading").text)
        check("instructions", "#message-buttons button")
        press(driver)
        check("practice", ".item")
        ask("POST", server.url + "/api" + path + "/ready")
        visit(driver, server.url + path)
        until(lambda: len(items(driver)) == N_IMAGES)
        check("trial", ".item")
        press(driver, "#show-help")
        check("help", "#help")
        press(driver, "#help-close")
        drag_all(driver, number)
        press(driver, "#done")
        until(lambda: "Thank you" in element(driver, "#message-heading").text)
        check("finished", "#message-heading")
        open_login(driver, server)
        check("log in", "#token")
        log_in(driver, server)
        check("experimenter", "#sessions tr")
        choose_rater(driver, "r0002")
        check("trials of a rater", "#trials input")
    finally:
        server.stop()
    assert {name: one for name, one in found.items() if one} == {}


def test_the_keyboard_is_enough(driver, task, path):
    from selenium.webdriver.common.keys import Keys

    open_trial(driver, task, path)

    def said():
        return element(driver, "#announce").get_attribute("textContent")

    first = items(driver)[0]
    # Escape takes back; what is focused is seen.
    first.send_keys(Keys.ENTER)
    until(lambda: "picked up" in said())
    assert first.get_attribute("aria-pressed") == "true"
    until(lambda: first.value_of_css_property("outline-style") == "solid")
    until(lambda: first.value_of_css_property("outline-width") == "3px")
    first.send_keys(Keys.HOME)
    until(lambda: said() == "the centre")
    first.send_keys(Keys.ESCAPE)
    until(lambda: "back where it was" in said())
    until(lambda: "outside the circle" in first.get_attribute("aria-label"))
    for k, item in enumerate(items(driver)):
        item.send_keys(Keys.ENTER)
        item.send_keys(Keys.HOME)
        for _ in range(k):
            item.send_keys(Keys.ARROW_RIGHT if k % 2 else Keys.ARROW_UP)
        item.send_keys(Keys.ENTER)
        # A step is 8 % of the radius.
        place = f"{8 * k} % {'right' if k % 2 else 'up'}" if k else "the centre"
        label = f"Picture {k + 1}, in the circle at {place}"
        until(lambda item=item, label=label: item.get_attribute("aria-label") == label)
        until(lambda place=place: f"put down at {place}" in said())
    until(lambda: "All pictures are placed" in said())
    element(driver, "#done").send_keys(Keys.ENTER)
    until(lambda: n_done(task, path) == 1)
    # The next trial is read out from its heading on.
    until(lambda: element(driver, "#trial-heading").text == "Trial 2")
    until(lambda: driver.switch_to.active_element.get_attribute("id") == "trial-heading")


def middle(of):
    return of["x"] + of["width"] / 2, of["y"] + of["height"] / 2


def touch(driver, item, target):
    """Move an item to the middle of another element with a finger."""
    start, end = middle(item.rect), middle(target.rect)

    def event(kind, *points):
        points = [{"x": x, "y": y} for x, y in points]
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    event("touchStart", start)
    if item != target:
        for share in (0.3, 0.6, 1.0):
            event("touchMove", tuple(a + share * (b - a) for a, b in zip(start, end, strict=True)))
    event("touchEnd")


def test_fingers_drag_as_well(driver, task, path):
    open_trial(driver, task, path)
    before = element(driver, "#remaining").text
    item, arena = items(driver)[0], element(driver, "#arena")
    touch(driver, item, arena)
    until(lambda: element(driver, "#remaining").text != before)
    until(lambda: middle(item.rect) == pytest.approx(middle(arena.rect), abs=2))


def check_layout(driver, width, height):
    """Check that all is on the screen, and that nothing lies on anything else."""
    shown = ("#trial-heading", "#preview", "#done", "#show-help", "#arena", ".item")
    boxes = [e.rect for css in shown for e in driver.find_elements("css selector", css)]
    assert len(boxes) == 5 + N_IMAGES
    for box in boxes:
        assert box["x"] >= 0
        assert box["y"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height
    (arena,) = boxes[4:5]
    assert arena["width"] == arena["height"] >= 0.8 * min(width, height)
    scrolls = "return arguments[0].scrollHeight > arguments[0].clientHeight"
    assert not driver.execute_script(scrolls, element(driver, "aside"))
    # Items wait outside the circle and do not lie on each other.
    centre, half = middle(arena), arena["width"] / 2
    places = [middle(box) for box in boxes[5:]]
    assert min(np.hypot(x - centre[0], y - centre[1]) for x, y in places) > half
    for k, (x, y) in enumerate(places):
        for other in places[:k]:
            assert max(abs(x - other[0]), abs(y - other[1])) >= boxes[5]["width"]


@pytest.mark.parametrize(
    "width, height",
    [(1366, 625), (1280, 585), (820, 1180), (1180, 820), (1920, 950)],
    ids=["laptop", "small laptop", "tablet", "tablet on its side", "desk"],
)
def test_everything_is_on_the_screen_without_scrolling(driver, task, path, width, height):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        open_trial(driver, task, path)
        eventually(lambda: check_layout(driver, width, height))
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_clips_play_while_looked_at(driver, tmp_path):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    av = pytest.importorskip("av")
    config = write_config(tmp_path, stop={"trials": 1}, raters={"links": 1})
    shutil.rmtree(tmp_path / "faces")
    (tmp_path / "faces").mkdir()
    for k in range(4):
        with av.open(str(tmp_path / "faces" / f"clip{k}.webm"), "w") as file:
            stream = file.add_stream("libvpx", rate=10)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for i in range(20):
                pixels = np.full((64, 64, 3), (12 * i, 60 * k, 90), np.uint8)
                for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")):
                    file.mux(packet)
            for packet in stream.encode():
                file.mux(packet)
    server = Server(config)
    try:
        path = overview(server)["raters"][0]["path"]
        ask("POST", f"{server.url}/api{path}/consent")
        ask("POST", f"{server.url}/api{path}/ready")
        visit(driver, server.url + path)
        until(lambda: len(items(driver)) == 4)
        video = items(driver)[0].find_element("tag name", "video")
        paused = "return arguments[0].paused"
        # Wherever the pointer was left by the test before.
        ActionChains(driver).move_to_element(element(driver, "#trial-heading")).perform()
        until(lambda: driver.execute_script(paused, video))
        ActionChains(driver).move_to_element(items(driver)[0]).perform()
        until(lambda: not driver.execute_script(paused, video))
        until(lambda: driver.execute_script("return arguments[0].currentTime", video) > 0.1)
        until(lambda: not driver.execute_script(paused, element(driver, "#preview video")))
        # A click focuses the clip as well; it stops all the same when the pointer leaves.
        ActionChains(driver).click().perform()
        ActionChains(driver).move_to_element(element(driver, "#trial-heading")).perform()
        until(lambda: driver.execute_script(paused, video))
        until(lambda: driver.execute_script(paused, element(driver, "#preview video")))
        # With the keyboard a clip plays while it has the focus.
        driver.execute_script("arguments[0].focus()", element(driver, "#show-help"))
        ActionChains(driver).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
        last = items(driver)[-1].find_element("tag name", "video")
        until(lambda: not driver.execute_script(paused, last))
        # A finger that has left still means this clip, until it touches another.
        touch(driver, items(driver)[0], items(driver)[0])
        until(lambda: driver.execute_script(paused, last))
        until(lambda: not driver.execute_script(paused, video))
        touch(driver, items(driver)[1], element(driver, "#arena"))
        until(lambda: driver.execute_script(paused, video))
    finally:
        server.stop()


def test_the_experimenter_sees_raters_and_rdm(driver, task, path, tmp_path):
    number = numbers(task)
    open_trial(driver, task, path)
    drag_all(driver, number)
    press(driver, "#done")
    until(lambda: n_done(task, path) == 1)
    open_login(driver, task)
    element(driver, "#token").send_keys("not the token, and long enough")
    press(driver, "#login button")
    until(lambda: "not right" in element(driver, "#login-error").text)
    assert element(driver, "#login").is_displayed()
    element(driver, "#token").clear()
    element(driver, "#token").send_keys(TOKEN)
    press(driver, "#login button")
    until(lambda: f"{overview(task)['n_trials']} trial" in element(driver, "#facts").text)
    picture = tmp_path / "experimenter.png"
    driver.save_screenshot(str(picture))
    assert np.asarray(Image.open(picture).convert("RGB")).std() > 5


def test_nothing_secret_is_in_an_address(driver, task, path):
    secret = path.partition("#")[2]
    assert len(secret) == 32
    driver.get_log("performance")
    open_trial(driver, task, path)
    drag_all(driver, numbers(task))
    press(driver, "#done")
    until(lambda: n_done(task, path) == 1)
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    requests = [m["params"]["request"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert len([r for r in requests if "/api/t" in r["url"]]) >= 3
    assert all(secret not in r["url"] for r in requests)
    assert secret not in driver.execute_script("return document.referrer")
    # Links that older versions gave have it in the path once, and then no more.
    until(lambda: element(driver, "#trial-heading").text == "Trial 2")
    visit(driver, f"{task.url}/t/{secret}")
    until(lambda: driver.current_url == task.url + path)
    until(lambda: element(driver, "#trial-heading").text == "Trial 2")
    # Another link in the same window is another rater.
    driver.get(f"{task.url}/t#{'x' * 32}")
    until(lambda: "link" in element(driver, "#message-heading").text.lower())


def test_a_browser_keeps_no_link_and_no_name(driver, task, path):
    kept = "return JSON.stringify([localStorage, sessionStorage, document.cookie])"
    visit(driver, task.url)
    driver.execute_script("localStorage.clear()")
    open_trial(driver, task, path)
    drag_all(driver, numbers(task))
    until(lambda: "rsa-faces:layout" in driver.execute_script(kept))
    while_working = driver.execute_script(kept)
    assert path.partition("#")[2] not in while_working
    assert "secret_name" not in while_working
    press(driver, "#done")
    until(lambda: element(driver, "#trial-heading").text == "Trial 2")
    until(lambda: len(items(driver)) >= 3)
    drag_all(driver, numbers(task))
    press(driver, "#done")
    until(lambda: "Thank you" in element(driver, "#message-heading").text)
    until(lambda: driver.execute_script(kept) == '[{},{},""]')


def test_a_session_that_ends_leaves_nothing_in_the_page(driver, task, path):
    who = rater_of(task, path)["rater"]
    log_in(driver, task)
    until(lambda: driver.find_elements("css selector", f'#raters [data-rater="{who}"]'))
    until(lambda: driver.find_elements("css selector", "#sessions tr"))
    with Client(base_url=task.url) as client:
        url = "/api/experimenter/sessions"
        for one in client.get(url, headers=EXPERIMENTER).json():
            if not one["own"]:
                client.delete(f"{url}/{one['name']}", headers=EXPERIMENTER)
    # The page asks every few seconds.
    until(lambda: element(driver, "#login-page").is_displayed())
    assert not driver.find_elements("css selector", "#raters tr, #sessions tr, #exports a")
    assert who not in driver.page_source


def test_the_token_can_be_seen_pasted_and_kept_by_the_browser(driver, tmp_path):
    from selenium.webdriver.common.keys import Keys

    server = Server(write_config(tmp_path, second_factor=True))
    try:
        open_login(driver, server)
        until(lambda: element(driver, "#code").is_displayed())
        field = element(driver, "#token")
        assert field.get_attribute("autocomplete") == "current-password"
        assert field.get_attribute("type") == "password"
        press(driver, "#show-token")
        until(lambda: field.get_attribute("type") == "text")
        field.send_keys(TOKEN)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(Keys.CONTROL, "x")
        until(lambda: field.get_attribute("value") == "")
        press(driver, "#show-token")
        until(lambda: field.get_attribute("type") == "password")
        field.send_keys(Keys.CONTROL, "v")
        until(lambda: field.get_attribute("value") == TOKEN)
        with sqlite3.connect(tmp_path / "arrange.sqlite") as db:
            query = "SELECT value FROM settings WHERE key = 'second_factor'"
            (name,) = db.execute(query).fetchone()
        keeper = Keeper(tmp_path / "arrange.key")

        def enter():
            # A code is good for a minute, which a busy computer may let pass.
            (code,) = keeper.codes(name, [int(time.time() // 30)])
            element(driver, "#code").clear()
            element(driver, "#code").send_keys(code)
            press(driver, "#login button")
            until(lambda: element(driver, "#all").is_displayed(), 20)

        eventually(enter, 120)
        keeper.close()
    finally:
        server.stop()
