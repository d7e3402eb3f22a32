"""The live page in Chromium: every view over a stream that runs, live, by keyboard, and in trouble.

One stream serves all tests of this file, in order: recorded cascades and requests where they are
beside the checkout, else simulated ones, through real roles into the gateway.
"""

from __future__ import annotations

import asyncio
import itertools
import lzma
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stream.http.listening import free_port
from stream.kafka.broker import create_topics_now
from stream.local.embedded import embedded
from stream.processes.roles import RoleProcess
from stream.secret import Secret
from stream.settings import Duration, Settings
from tests.conftest import DATA
from tests.patience import PATIENCE, until_so
from tests.stream.gateway.conftest import forecast, outcome, score, snapshot
from tests.system.conftest import Cluster
from topics.catalogue import (
    CASCADE_OUTCOMES,
    CASCADE_SNAPSHOTS,
    FORECAST_SCORES,
    POPULARITY_FORECASTS,
    ROLE_NOTICES,
    SOCIAL_EVENTS,
    Topic,
)
from topics.records import RoleNotice

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip)")
pytestmark = [
    pytest.mark.embedded,
    pytest.mark.system,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt-get install chromium)"),
]
expect = playwright.expect
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
ROLES = ("tracker", "historian", "forecaster", "ranker")
VIEWS = ("#/", "#/cascade", "#/edges", "#/edge", "#/models", "#/health", "#/api")
HOSTILE = "<img src=x onerror=document.title='owned'>&\"'/../%2F"
PATIENT = 1_000 * PATIENCE
expect.set_options(timeout=PATIENT)
# Elements that reach past the right edge of a page that scrolls sideways.
TOO_WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll("body *")]
    .filter((e) => e.getBoundingClientRect().right > innerWidth && !e.closest(".scroll"))
    .map((e) => `${e.tagName}.${e.className}: ${e.textContent.trim().slice(0, 40)}`)"""


def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Does it in a thread of its own: Playwright keeps an event loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *arguments).result()


def beginning(recorded: Path, to: Path, lines: int) -> str:
    """The first lines of a recorded file, in a file of their own."""
    with lzma.open(recorded, "rt") as source, to.open("w") as sink:
        sink.writelines(itertools.islice(source, lines))
    return str(to)


class Stream:
    """A cluster with every role, traffic, and a gateway."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.address = f"http://127.0.0.1:{cluster.settings.http_port}"
        self.roles = {role: cluster.start(role) for role in (*ROLES, "gateway")}
        self._traffic: list[subprocess.Popen[bytes]] = []

    def feed(self) -> None:
        """Starts traffic, once every role is there."""
        self.until(lambda: all(role.has_joined for role in self.roles.values()), "roles")
        recorded = DATA / "cascades" / "twitter1516.txt.xz", DATA / "requests" / "kuairand.csv.xz"
        if all(file.is_file() for file in recorded):
            folder = self.cluster.folder
            cascades = beginning(recorded[0], folder / "cascades.txt", 4_000)
            requests = beginning(recorded[1], folder / "requests.csv", 200_000)
            commands = [
                ["replay", "cascades", cascades, "--rebase", "20h", "--speed", "60"],
                ["replay", "requests", requests, "--speed", "300", "--edges", "2"],
            ]
        else:
            commands = [["simulate", "--speed", "60"]]
        for command in commands:
            words = [*command, "--kafka", self.cluster.settings.kafka]
            with (self.cluster.folder / f"{command[0]}-{command[1]}.log").open("wb") as log:
                self._traffic.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "stream", *words],
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )

    def end_traffic(self) -> None:
        for feeder in self._traffic:
            feeder.terminate()
            assert feeder.wait(PATIENCE) == 0

    def close(self) -> None:
        for feeder in self._traffic:
            feeder.kill()
            feeder.wait()
        self.cluster.close()

    def ask(self, path: str) -> Any:
        return httpx2.get(self.address + path, timeout=PATIENCE).json()

    def until(self, enough: Callable[[], Any], what: str) -> Any:
        """What `enough` answers, as soon as that is something."""

        def found() -> Any:
            self.cluster.assert_alive()
            return enough()

        return until_so(found, what)

    def publish_event(self) -> None:
        """One more event, for whoever is there to take it."""
        apart(asyncio.run, self.cluster.publish(SOCIAL_EVENTS, [("k", b"{}")]))

    def publish(self, topic: Topic, *records: Any) -> None:
        keyed = [(record.cascade_id, topic.codec.encode(record)) for record in records]
        apart(asyncio.run, self.cluster.publish(topic, keyed))


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    """A stream whose cascades come due within seconds."""
    folder = tmp_path_factory.mktemp("page")
    with embedded(folder / "broker") as (address, _):
        settings = Settings(
            kafka=address,
            data_dir=folder / "data",
            http_port=free_port(),
            forecaster="boosting",
            ranker="decayed",
            snapshot_ages=(Duration(64), Duration(256)),
            horizons=(Duration(300), Duration(900)),
            window=Duration(60),
            stale_after=Duration(5),
            http_rate=0.0,
        )
        apart(create_topics_now, settings)
        running = Stream(Cluster(settings, folder))
        try:
            running.feed()
            running.until(lambda: running.ask("/api/due")["total"] > 3, "forecasts that came due")
            running.until(lambda: running.ask("/api/edges")["total"] > 0, "edges")
            yield running
        finally:
            running.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


class Tab:
    """A page that keeps what went wrong on it, and what it asked for."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | context)
        self.address = address
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENT)
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type == "error" else None,
        )

    def open(self, view: str = "#/") -> Any:
        self.page.goto(f"{self.address}/{view}")
        self.page.wait_for_selector("main[aria-busy=false] h1")
        return self.page


@pytest.fixture
def tab(browser: Any, stream: Stream) -> Iterator[Tab]:
    """A tab on which nothing may go wrong."""
    tab = Tab(browser, stream.address)
    yield tab
    tab.context.close()
    assert tab.errors == []
    assert all(url.startswith((stream.address, "data:")) for url in tab.asked)


def named(stream: Stream, view: str) -> str:
    """The view's address, with the name of something that there is."""
    if view == "#/cascade":
        row = stream.ask("/api/cascades?sort=count&state=all&limit=1")["items"][0]
        return f"#/cascade/{row['cascade_id']}"
    if view == "#/edge":
        return f"#/edge/{stream.ask('/api/edges')['items'][0]['edge_id']}"
    return view


def expect_painted(page: Any, chart: str, colours: int) -> None:
    """Waits until there are more colours on a chart's canvas."""
    canvas = page.locator(f"{chart} canvas").first.element_handle()
    page.wait_for_function(
        """([canvas, colours]) => new Set(new Uint32Array(canvas.getContext("2d")
             .getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size > colours""",
        arg=[canvas, colours],
    )


# ----------------------------------------------------------------- every view, while it runs


def test_a_newcomer_sees_a_forecast_its_interval_and_what_came(tab: Tab, stream: Stream) -> None:
    page = tab.open()
    story = page.locator(".story")
    expect(story).to_contain_text(re.compile(r"Counted\s+[\d,]+\s+times"))
    expect(page.locator(".due li").first).to_contain_text(re.compile("inside|outside"))
    expect(page.get_by_text("fell within")).to_be_visible()
    rows = page.locator("tbody tr")
    expect(rows.first).to_be_visible()
    label = page.locator("fan-chart").first.get_attribute("aria-label")
    assert re.search(r"Counted: [\d,.K]+ by .* Forecast for 15\smin: .* to ", label)
    expect_painted(page, "fan-chart", 10)
    expect_painted(page, "td fan-chart", 3)


def test_it_is_live_without_a_reload(tab: Tab) -> None:
    page = tab.open()
    page.evaluate("window.sameDocument = true")
    due = page.locator(".due li a").first
    before = page.locator("section[aria-label='Forecasts that came due'] p").text_content()
    expect(page.locator("section[aria-label='Forecasts that came due'] p")).not_to_have_text(
        before, timeout=PATIENT
    )
    expect(due).to_be_visible()
    expect(page.locator(".state")).to_contain_text("live")
    assert page.evaluate("window.sameDocument")


def test_a_forecast_that_comes_is_listed_as_it_is_named(tab: Tab, stream: Stream) -> None:
    """Whatever a platform calls its posts, it is text and no more."""
    page = tab.open()
    now = stream.ask("/api/health")["event_time"]
    published = {"published_at": now - 100, "observed_at": now}
    stream.publish(POPULARITY_FORECASTS, forecast(HOSTILE, age=100.0, expected=9e6, **published))
    link = page.get_by_role("link", name=HOSTILE, exact=True).last
    expect(link).to_be_visible(timeout=PATIENT)
    link.click()
    expect(page.locator("h1")).to_have_text(HOSTILE)
    expect(page.get_by_text("No snapshot of this cascade is held")).to_be_visible()
    assert page.title() == f"{HOSTILE} – tidecast"


def test_a_cascade_with_its_curve_its_forecasts_and_its_graph(tab: Tab, stream: Stream) -> None:
    page = tab.open(named(stream, "#/cascade"))
    expect(page.locator("cascade-graph circle.root")).to_have_count(1)
    expect(page.locator("cascade-graph circle.node").nth(3)).to_be_visible()
    expect_painted(page, "fan-chart", 10)
    rows = page.locator("section[aria-label='Forecasts over time'] tbody tr")
    expect(rows.nth(1)).to_be_visible()
    slider = page.get_by_label("Forecast made at age")
    before = slider.get_attribute("aria-valuetext")
    slider.focus()
    page.keyboard.press("Home")
    expect(slider).not_to_have_attribute("aria-valuetext", before)
    page.get_by_label("counts by multiples").check()
    page.locator("fan-chart").hover(position={"x": 500, "y": 100})
    expect(page.locator(".readout")).to_contain_text(re.compile("Forecast for|Counted by"))


def test_edges_and_the_reasons_of_decisions(tab: Tab, stream: Stream) -> None:
    page = tab.open("#/edges")
    expect(page.locator("tbody tr").first).to_contain_text("LRU")
    expect(page.locator("tbody tr").first).to_contain_text("points")
    page.locator("tbody a").first.click()
    expect(page.get_by_role("heading", name="Decisions in force")).to_be_visible()
    decisions = page.locator("section[aria-label='Decisions'] tbody tr")
    expect(decisions.first).to_contain_text("rank")
    expect_painted(page, "line-chart", 5)
    page.get_by_label("Find an object").fill("no such object")
    expect(page.get_by_text("No object with “no such object”")).to_be_visible()


def test_models_say_that_there_are_no_scores_until_there_are(tab: Tab, stream: Stream) -> None:
    page = tab.open("#/models")
    if stream.ask("/api/models")["note"]:
        expect(page.get_by_text("No scores yet").first).to_be_visible()
    scores = [score(100, 90 + i, horizon=300.0, inside=i > 0) for i in range(10)]
    stream.publish(FORECAST_SCORES, *scores)
    table = page.locator("section[aria-label='Scores'] tbody")
    expect(table).to_contain_text("90.0%")
    expect_painted(page, "line-chart", 5)


def test_health_tells_what_roles_noticed(tab: Tab, stream: Stream) -> None:
    page = tab.open("#/health")
    now = time.time()
    found = RoleNotice(
        "tracker", "0", "no_key", "social.events", 3, 20, now, now, "20 of 20 messages have no key."
    )
    apart(asyncio.run, stream.cluster.publish(
        ROLE_NOTICES, [("k", ROLE_NOTICES.codec.encode(found))]
    ))  # fmt: skip
    row = page.locator("section[aria-label='Noticed'] tbody tr").first
    expect(row).to_contain_text("no key")
    expect(row).to_contain_text("social.events")
    expect(page.get_by_text("20 of 20 messages have no key.")).to_be_visible()
    expect(page.get_by_text("Set the key in the producer")).to_be_visible()


def test_health_tells_of_every_role(tab: Tab, stream: Stream) -> None:
    page = tab.open("#/health")
    for role in ROLES:
        rows = page.locator("section[aria-label='Roles'] tbody tr")
        row = rows.filter(has=page.get_by_text(role, exact=True))
        expect(row).to_contain_text(re.compile("up to date|at work|behind"))
        expect(row).to_contain_text("ago")
    expect(page.get_by_text("A replay or a simulation")).to_be_visible()


def test_the_api_is_told(tab: Tab) -> None:
    page = tab.open("#/api")
    expect(page.get_by_role("link", name="/api/cascades", exact=True)).to_be_visible()


# ----------------------------------------------------------------- people


def test_filters_sorts_and_pages(tab: Tab, stream: Stream) -> None:
    page = tab.open()
    wanted = stream.ask("/api/cascades?limit=1&sort=recent&state=all")["items"][0]["cascade_id"]
    page.get_by_label("Show", exact=True).select_option("all")
    page.get_by_label("Find by name").fill(wanted.upper())
    names = page.locator("tbody td.name a")
    expect(names.first).to_have_text(wanted)
    page.get_by_label("Find by name").fill("nobody is called that")
    expect(page.get_by_text("forecast has “nobody is called that” in its name")).to_be_visible()
    page.get_by_label("Find by name").fill("")
    page.get_by_label("Sort by").select_option("count")
    expect(page.get_by_role("button", name="Next")).to_be_enabled()
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".pager")).to_contain_text("13 to")
    page.get_by_label("Sort by").select_option("growth")
    page.get_by_label("Show", exact=True).select_option("live")


def test_a_walk_by_keyboard(tab: Tab) -> None:
    page = tab.open()
    first = "Skip to the content"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == first
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        at = page.evaluate(
            """() => { const at = document.activeElement; const style = getComputedStyle(at);
              return [at.tagName, at.textContent.trim(), at.ariaLabel, style.outlineStyle]; }"""
        )
        if at[0] == "BODY":
            continue  # the row that it stood at has gone, or it is between the end and the start
        if at[1] == first:
            break
        assert at[3] != "none", f"the focus cannot be seen on {at}"
        reached.add((at[0], at[2] or at[1]))
    else:
        pytest.fail(f"the walk does not come round: {reached}")
    tags = {tag for tag, _ in reached}
    assert {"A", "BUTTON", "INPUT", "SELECT", "DFN"} <= tags
    assert {("A", name) for name in ("Forecasts", "Edges", "Models", "Health")} <= reached
    page.get_by_role("link", name="Edges", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Edges")
    assert page.evaluate("document.activeElement.id") == "main", "reading goes on at the content"
    page.go_back()
    expect(page.locator("h1")).to_have_text("About to spread")


def test_terms_explain_themselves(tab: Tab) -> None:
    page = tab.open()
    tip = page.locator("#tip")
    term = page.locator("th dfn").first
    term.hover()
    expect(tip).to_contain_text("A post and everything passed on from it")
    page.mouse.move(0, 0)
    expect(tip).to_be_hidden()
    term.focus()
    expect(tip).to_be_visible()
    assert term.get_attribute("aria-description") == tip.text_content()
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(scheme: str, browser: Any, stream: Stream) -> None:
    phone = {"width": 390, "height": 844}
    tab = Tab(browser, stream.address, viewport=phone, color_scheme=scheme, has_touch=True)
    for view in VIEWS:
        page = tab.open(named(stream, view))
        assert page.evaluate(TOO_WIDE) == [], f"{view} is wider than the phone"
    page = tab.open()
    page.locator(".story dfn").first.tap()
    expect(page.locator("#tip")).to_be_visible()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red = int(re.findall(r"\d+", ground)[0])
    assert red < 60 if scheme == "dark" else red > 200
    assert tab.errors == []
    tab.context.close()


def test_motion_is_reduced_for_those_who_ask(browser: Any, stream: Stream) -> None:
    tab = Tab(browser, stream.address, reduced_motion="reduce")
    page = tab.open()
    assert page.locator(".dot").first.evaluate("e => getComputedStyle(e).animationName") == "none"
    tab.context.close()


# ----------------------------------------------------------------- in trouble


def test_what_is_not_there_is_said(browser: Any, stream: Stream) -> None:
    tab = Tab(browser, stream.address)
    for view, told in (("#/cascade/nope", "made room for newer"), ("#/edge/nope", "No closed win")):
        page = tab.open(view)
        expect(page.locator(".empty")).to_contain_text(told)
        expect(page.get_by_role("link", name="Back to the list")).to_be_visible()
    tab.context.close()


@contextmanager
def lone_gateway(folder: Path, **more: Any) -> Iterator[tuple[str, RoleProcess]]:
    """A gateway that is ready, on a broker of its own without a message; its address first."""
    with embedded(folder / "broker") as (address, _):
        settings = Settings(kafka=address, data_dir=folder / "data", http_port=free_port(), **more)
        apart(create_topics_now, settings)
        cluster = Cluster(settings, folder)
        gateway = cluster.start("gateway")
        try:
            until_so(lambda: gateway.has_joined, gateway.tail)
            yield f"http://127.0.0.1:{settings.http_port}", gateway
        finally:
            cluster.close()


def test_nothing_yet_is_said(browser: Any, tmp_path: Path) -> None:
    with lone_gateway(tmp_path) as (address, _):
        tab = Tab(browser, address)
        page = tab.open()
        expect(page.get_by_text("No forecast yet", exact=True)).to_be_visible()
        expect(page.get_by_text("The tracker is not running")).to_be_visible()
        page = tab.open("#/edges")
        expect(page.get_by_text("No edge yet")).to_be_visible()
        page = tab.open("#/models")
        expect(page.get_by_text("No model has answered yet")).to_be_visible()
        assert tab.errors == []
        tab.context.close()


def test_where_all_is_over_the_page_is_an_archive_and_says_so(browser: Any, tmp_path: Path) -> None:
    with lone_gateway(tmp_path) as (address, gateway):
        cluster = Cluster(gateway.settings, tmp_path)
        caught, missed = forecast("caught", expected=100.0), forecast("missed", expected=100.0)
        for topic, records in (
            (CASCADE_SNAPSHOTS, [snapshot("caught"), snapshot("missed")]),
            (POPULARITY_FORECASTS, [caught, missed]),
            (CASCADE_OUTCOMES, [
                outcome("caught", 14_400.0, 190, final=True),
                outcome("missed", 14_400.0, 999, final=True),
            ]),
        ):  # fmt: skip
            keyed = [(record.cascade_id, topic.codec.encode(record)) for record in records]
            apart(asyncio.run, cluster.publish(topic, keyed))
        tab = Tab(browser, address)
        page = tab.open()
        expect(page.locator("h1")).to_have_text("What was forecast")
        expect(page.get_by_text("An archive: nothing that is held here is live")).to_be_visible()
        expect(page.locator(".state")).to_contain_text("archive")
        expect(page.locator(".story")).to_contain_text(re.compile(r"it came to\s+(190|999)"))
        rows = page.locator("section[aria-label='Cascades'] tbody tr")
        expect(rows.filter(has_text="caught")).to_contain_text("190inside")
        expect(rows.filter(has_text="missed")).to_contain_text("999outside")
        expect(page.get_by_text("Archive: latest news")).to_be_visible()
        for untrue in ("No forecast yet", "Forecast to grow most", "Still to come"):
            expect(page.get_by_text(untrue, exact=True)).to_have_count(0)
        page.get_by_label("Show", exact=True).select_option("all")
        expect(page.get_by_text("All cascades: forecast to grow most")).to_be_visible()
        page.get_by_label("Find by name").fill("nobody is called that")
        expect(page.get_by_text("No cascade that was forecast has “nobody")).to_be_visible()
        assert tab.errors == []
        tab.context.close()


def test_who_has_the_token_signs_in_by_keyboard(browser: Any, tmp_path: Path) -> None:
    token = "planted-token-0123456789abcdef"
    with lone_gateway(tmp_path, http_token=Secret(token)) as (address, gateway):
        tab = Tab(browser, address)
        page = tab.open()
        expect(page.locator("h1")).to_have_text("Sign in")
        expect(page.locator(".state")).to_have_text("locked")
        page.keyboard.press("Tab")
        while page.evaluate("document.activeElement.id") != "token":
            assert page.evaluate("document.activeElement.tagName") != "BODY", "no way there"
            page.keyboard.press("Tab")
        page.keyboard.type("another-token-0123456789")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        page.keyboard.type(token)  # over what was typed, which is selected
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("About to spread")
        expect(page.locator(".state")).to_contain_text(re.compile("live|trouble"))
        page.reload()
        expect(page.locator("h1")).to_have_text("About to spread")
        assert all("401" in error for error in tab.errors), tab.errors
        assert not any(token in url for url in tab.asked)
        assert tab.context.cookies() == []
        other = Tab(browser, tab.address).open()
        expect(other.locator("h1")).to_have_text("Sign in")
        other.context.close()
        tab.context.close()
        assert token not in gateway.log.read_text()


def test_a_stream_that_stands_still_is_said(tab: Tab, stream: Stream) -> None:
    stream.end_traffic()
    page = tab.open()
    expect(page.locator("#notices")).to_contain_text("No event has come for")


def test_a_role_that_is_gone_is_said(tab: Tab, stream: Stream) -> None:
    page = tab.open("#/health")
    stream.cluster.kill(stream.roles["tracker"])
    stream.publish_event()
    rows = page.locator("tbody tr", has=page.get_by_text("tracker", exact=True))
    expect(rows.filter(has_text=re.compile("at a standstill|not running"))).to_be_visible()
    expect(page.locator(".notice.wrong").first).to_contain_text("start it: tidecast tracker")


def test_a_gateway_that_is_gone_and_comes_back(browser: Any, stream: Stream) -> None:
    tab = Tab(browser, stream.address)
    page = tab.open()
    page.evaluate("window.sameDocument = true")
    expect(page.locator("tbody tr").first).to_be_visible()
    rows = page.locator("tbody tr").count()
    gateway = stream.roles["gateway"]
    gateway.terminate()
    assert stream.cluster.ended(gateway) == 0
    expect(page.locator("#notices")).to_contain_text("The gateway does not answer")
    expect(page.locator("main")).to_have_class(re.compile("stale"))
    assert page.locator("tbody tr").count() == rows, "what was known stays in sight"
    stream.roles["gateway"] = stream.cluster.start("gateway", instance="1")
    expect(page.locator("#notices")).not_to_contain_text(
        "The gateway does not answer", timeout=PATIENT
    )
    expect(page.locator("main")).not_to_have_class(re.compile("stale"))
    assert page.evaluate("window.sameDocument")
    tab.context.close()
