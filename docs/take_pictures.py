"""Takes the pictures of the live page that the documentation shows.

tidecast up &                                   # let it run for two or three minutes
python docs/take_pictures.py http://127.0.0.1:8080
"""

from __future__ import annotations

import json
import shutil
import sys
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

FOLDER = Path(__file__).parent / "pictures"
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu"]
DESKTOP = {"width": 1200, "height": 900}
PHONE = {"width": 390, "height": 844}
PICTURES = (
    ("forecasts", "#/", DESKTOP, "light"),
    ("forecasts-dark", "#/", DESKTOP, "dark"),
    ("forecasts-phone", "#/", PHONE, "light"),
    ("cascade", "#/cascade/{cascade}", DESKTOP, "light"),
    ("edge", "#/edge/{edge}", DESKTOP, "light"),
    ("models", "#/models", DESKTOP, "light"),
    ("health", "#/health", DESKTOP, "light"),
)


def ask(address: str) -> Any:
    with urllib.request.urlopen(address) as answer:
        return json.load(answer)


def take(browser: Browser, address: str) -> None:
    """One picture after the other, of what the gateway shows now."""
    largest = ask(f"{address}/api/cascades?sort=count&state=all&limit=1")["items"][0]
    names = {
        "cascade": largest["cascade_id"],
        "edge": ask(f"{address}/api/edges")["items"][0]["edge_id"],
    }
    for name, view, size, scheme in PICTURES:
        sharp = 2 if size is PHONE else 1
        page = browser.new_page(viewport=size, color_scheme=scheme, device_scale_factor=sharp)
        page.goto(f"{address}/{view.format(**names)}")
        page.wait_for_selector("main[aria-busy=false] h1")
        page.wait_for_timeout(1_500)
        page.screenshot(path=FOLDER / f"{name}.png")
        page.close()


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("needs chromium (apt-get install chromium)")
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        take(browser, sys.argv[1].rstrip("/"))
        browser.close()


if __name__ == "__main__":
    main()
