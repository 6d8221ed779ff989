"""A browser for each test process, and pages to open in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.analysis.report.pages import build

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    executable = shutil.which("chromium")
    if executable is None:
        if os.environ.get("SUITE_REQUIRE_BROWSER") == "1":
            pytest.fail("SUITE_REQUIRE_BROWSER=1, but there is no chromium on the path", pytrace=False)
        pytest.skip("needs chromium; as root on Debian, tests/analysis/report/install.sh installs it")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        launched = playwright.chromium.launch(executable_path=executable, args=arguments, timeout=120_000)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two profiles, with names that would break it if they were not escaped."""
    return build(tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def visit(browser: Browser, report: Path) -> Iterator[Open]:
    """Open the page; whatever the browser complains of or asks for beside the page fails the test."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def opened(anchor: str = "", file: Path = report, **options: object) -> Page:
        context = browser.new_context(**options)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("request", lambda asked: _check(asked.url, file, faults))
        page.goto(file.as_uri() + anchor)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def _check(url: str, file: Path, faults: list[str]) -> None:
    if not url.startswith("data:") and url.partition("#")[0] != file.as_uri():
        faults.append(f"request: {url}")
