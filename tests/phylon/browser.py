"""A real browser without a screen, for what only a browser can tell."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

T = TypeVar("T")
_PATIENCE = 120.0
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # for root, as in containers
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",  # WebGL without a graphics card
    "--enable-unsafe-swiftshader",
    "--window-size=1280,1000",
    "--hide-scrollbars",
)


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """Run Chromium while the context lasts; skip the test where there is none.

    Args:
        profile: An empty folder for what the browser keeps.
    """
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("needs Chromium: apt install chromium chromium-driver")
    options = Options()
    options.binary_location = browser
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    chrome.set_script_timeout(_PATIENCE)
    try:
        yield chrome
    finally:
        chrome.quit()


def eventually(look: Callable[[], T], what: str) -> T:
    """Return what `look` finds as soon as it finds anything; what fails meanwhile is no matter."""
    end = time.monotonic() + _PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, f"no {what} within {_PATIENCE:.0f} s"
        time.sleep(0.05)
    return found


def complaints(chrome: webdriver.Chrome) -> list[str]:
    """Return what pages wrote to the console as warnings or errors since the last call."""
    entries: list[dict[str, Any]] = chrome.get_log("browser")  # type: ignore[no-untyped-call]
    return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]


def use_dark_mode(chrome: webdriver.Chrome, *, on: bool = True) -> None:
    """Let pages know that the reader prefers a dark page, or a light one."""
    feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
