"""The documentation as a site: it builds without a warning, and needs nothing from elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.documented import ROOT
from tests.patience import PATIENCE

CHROMIUM = shutil.which("chromium")


def load_hooks() -> ModuleType:
    """The hooks, as mkdocs loads them: from their file."""
    spec = spec_from_file_location("site_hooks", ROOT / "docs" / "site" / "hooks.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOOKS = load_hooks()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder


def test_the_strict_build_passes(site: Path) -> None:
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    sources = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    names = {path.with_suffix(".html").as_posix() for path in sources}
    assert {name.replace("README.html", "index.html") for name in names} <= pages
    assert {Path(name).with_suffix(".html").as_posix() for name in HOOKS.PAGES.values()} <= pages


def test_it_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=\"?([^\"\s>]+)")
    for page in site.rglob("*.html"):
        foreign = [one for one in loaded.findall(page.read_text()) if re.match("(https?:)?//", one)]
        assert not foreign, page


def test_the_interfaces_are_in_it_and_can_be_searched_for(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())
    places = {entry["location"] for entry in index["docs"]}
    assert "reference/topics.html#topics.records.SocialEvent" in places
    assert "reference/interface.html#models.interface.Forecaster" in places


@pytest.mark.system
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt-get install chromium)")
def test_it_is_searched_without_a_server(site: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip)")
    asked: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(1_000 * PATIENCE)
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.click("input.md-search__input")
        page.keyboard.type("watermark")
        found = page.locator(".md-search-result__item").first
        found.wait_for(state="attached")
        assert "watermark" in found.inner_text().lower()
        browser.close()
    assert asked and not [url for url in asked if not url.startswith(("file:", "data:", "about:"))]


def mended(text: str, name: str = "edge.md") -> str:
    """A page's text with its links as the site has them."""
    files = [SimpleNamespace(src_uri=uri) for uri in ("edge.md", "index.md", "decisions/README.md")]
    page = SimpleNamespace(file=SimpleNamespace(src_uri=name))
    return HOOKS.on_page_markdown(text, page=page, config=None, files=files)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("[a](../SECURITY.md#report-a-weakness)", "[a](SECURITY.md#report-a-weakness)"),
        ("[a](../README.md)", "[a](index.md)"),
        ("[a](decisions)", "[a](decisions/README.md)"),
        ("[rules](../deploy/prometheus/alerts.yml)", "rules (`deploy/prometheus/alerts.yml`)"),
        ("[a](#below) [b](https://a.example/)", "[a](#below) [b](https://a.example/)"),
        ("`[a](../SECURITY.md)`", "`[a](../SECURITY.md)`"),
        ("[gone](../deploy/nothing)", "[gone](../deploy/nothing)"),
    ],
)
def test_links_lead_to_pages_or_say_where_a_file_is(said: str, expected: str) -> None:
    assert mended(said) == expected


def test_a_page_from_elsewhere_keeps_its_links() -> None:
    assert mended("[a](docs/edge.md)", "index.md") == "[a](edge.md)"
    assert mended("[a](docs/edge.md) [b](docs/none.md)", "SECURITY.md") == (
        "[a](edge.md) [b](docs/none.md)"
    )
