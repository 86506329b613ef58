"""Chromium for tests of pages: what is opened may log nothing and ask for nothing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test fails without one in CI, and is passed over elsewhere."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        message = f"no Chromium on PATH (looked for {', '.join(CHROMIUM_NAMES)})"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened_page(browser: Any, file: Path, width: int = 1280) -> Iterator[Any]:
    """The page, opened with no network. Nothing may be logged or asked for while a test uses it."""
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("request", lambda request: noise.append(request.url) if "data:" not in request.url[:5] else None)
    page.goto(file.as_uri())
    yield page
    assert noise == [file.as_uri()], "console output, or a request for something outside the page"
    context.close()


def contrast(*colours: str) -> float:
    """WCAG contrast ratio of two CSS colours, `rgb(r, g, b)`."""
    import torch

    levels = torch.tensor([[float(v) / 255 for v in c[4:-1].split(",")] for c in colours])
    linear = torch.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    luminance = linear @ torch.tensor([0.2126, 0.7152, 0.0722]) + 0.05
    return float(luminance.max() / luminance.min())
