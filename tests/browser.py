"""Pages in a headless Chromium: at a width, in a theme, and what axe finds wrong with them for people who cannot see."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

WIDTHS = (360, 800, 1280)
"""Widths of pages in CSS pixels: a phone, half a screen, a laptop."""

THEMES = ("light", "dark")

FLAGS = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "disable-dev-shm-usage",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "hide-scrollbars",
)


def start(profile: Path) -> Any:
    """Return a driver of a Chromium with a profile of its own; skip by name where it, or its driver, is absent."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium: a browser and chromedriver are needed to open the page")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def show(driver: Any, page: Path, width: int = 1280, theme: str = "light", height: int = 800) -> None:
    """Open a page at a width and in the theme that the system asks for."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    driver.get(page.resolve().as_uri())


def violations(driver: Any) -> list[str]:
    """Return what axe finds on the page that is open: one line per rule, with the first elements that break it.

    axe checks only what is rendered, so a folded part has to be opened before. Its rules of good practice count, too.
    """
    axe = files(pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed"))
    driver.execute_script(axe.joinpath("axe.min.js").read_text(encoding="utf-8"))
    result = driver.execute_async_script("axe.run(document, {resultTypes: ['violations']}).then(arguments[0])")
    return [
        f"{rule['id']}: {rule['help']}: {[node['html'][:200] for node in rule['nodes'][:3]]}"
        for rule in result["violations"]
    ]
