"""A page of a real browser, and all that it did: requests, errors, what it would not load."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, Route, sync_playwright

# Sandboxes need rights that containers lack; the pages are our own.
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb")
WIDE = (1440, 900)
PATIENCE_MS = 20_000


@dataclass
class Watched:
    """A page and what was seen of it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def foreign(self, origin: str) -> list[str]:
        """Requests that left the origin."""
        return [url for url in self.requests if not url.startswith(f"{origin}/")]


@contextmanager
def browser(chromium: Path) -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(chromium), args=list(FLAGS))
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def page(opened: Browser, scheme: str = "dark", size: tuple[int, int] = WIDE) -> Iterator[Watched]:
    """An empty page, as somebody sees it who comes for the first time."""
    context = opened.new_context(
        color_scheme="light" if scheme == "light" else "dark",
        viewport={"width": size[0], "height": size[1]},
        reduced_motion="reduce",
    )
    watched = Watched(context.new_page())
    watched.page.set_default_timeout(PATIENCE_MS)

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            watched.errors.append(message.text)

    if files := os.environ.get("CONSOLE_PAGE"):
        context.route("**/console/*.*", lambda route: from_disk(route, Path(files)))
    watched.page.on("request", lambda request: watched.requests.append(request.url))
    watched.page.on("console", said)
    watched.page.on("pageerror", lambda error: watched.errors.append(str(error)))
    try:
        yield watched
    finally:
        context.close()


def from_disk(route: Route, files: Path) -> None:
    """Answers with a file as it is now, not as it was built into the binary: for whoever works on the page."""
    path = files / route.request.url.split("?")[0].rsplit("/", 1)[1]
    if path.is_file():
        route.fulfill(response=route.fetch(), body=path.read_text())
    else:
        route.fallback()


def enter(watched: Watched, admin: str, token: str, view: str = "fleet") -> None:
    """Opens the console and gives the token."""
    watched.page.goto(f"{admin}/console/#{view}")
    watched.page.locator("#token").fill(token)
    watched.page.keyboard.press("Enter")
    watched.page.locator("#status.ok").wait_for()
    # A page without a token is told so: the browser reports that as an error of the network.
    watched.errors[:] = [error for error in watched.errors if "401" not in error]


def show(watched: Watched, view: str) -> None:
    """Opens a view."""
    watched.page.locator(f"#tab-{view}").click()
