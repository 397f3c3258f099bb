"""The Model board as a person sees it: a real browser that logs in through Airflow's page."""

import os
from collections.abc import Iterator

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.remote.webelement import WebElement

from local import browser
from local.environment import load_secrets
from local.settings import LocalError, Settings

REQUIRED = "FLIGHTLINE_REQUIRE_BROWSER"
SECTIONS = ("champion", "judgements", "days", "performance", "slices", "drift", "quality", "decisions", "alerts")


@pytest.fixture(scope="module", name="chrome")
def start_chrome() -> Iterator[Chrome]:
    """A browser, or a skip that names the command; with FLIGHTLINE_REQUIRE_BROWSER=1 there must be one."""
    try:
        browser.find()
    except LocalError as missing:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    with browser.chromium() as started:
        yield started


class Board:
    """The page inside Airflow."""

    def __init__(self, chrome: Chrome, settings: Settings) -> None:
        self.chrome = chrome
        self.url = settings.airflow_url
        browser.resize(chrome, *browser.DESKTOP)
        browser.log_in(chrome, self.url, load_secrets(settings)["admin_password"])
        chrome.get_log("browser")
        browser.requests(chrome)

    def open_from_navigation(self) -> None:
        """Go the way of a person: Browse, Model board. The frame is the present document afterwards."""
        self.chrome.switch_to.default_content()
        self.chrome.get(self.url)
        browser.wait_for(self.chrome, "button[aria-label=Browse]").click()
        browser.wait_for(self.chrome, "a[role=menuitem][href$='/plugin/model-board']").click()
        self.enter()

    def open_alone(self) -> None:
        """Go to the page in a window of its own."""
        self.chrome.get(f"{self.url}/model-board/")
        self._drawn()

    def enter(self) -> None:
        """Step into Airflow's frame, and wait until every chart is drawn."""
        self.chrome.switch_to.default_content()
        self.chrome.switch_to.frame(browser.wait_for(self.chrome, "iframe[title='Model board']"))
        self._drawn()

    def text(self, section: str) -> str:
        """What can be read in a section, after a click on its name above."""
        self.one(f"nav a[href='#{section}']").click()
        return self.one(f"#{section}").text

    def point_at(self, element: WebElement) -> str:
        """The words that come up when the pointer is on an element."""
        ActionChains(self.chrome).scroll_to_element(element).move_to_element(element).perform()
        return browser.wait_for(self.chrome, "#tip").text

    def press(self, element: WebElement, key: str) -> str:
        """The words that come up when a key is pressed on an element."""
        element.send_keys(key)
        return browser.wait_for(self.chrome, "#tip").text

    def one(self, selector: str) -> WebElement:
        """The first element of a selector."""
        return self.chrome.find_element("css selector", selector)

    def all(self, selector: str) -> list[WebElement]:
        """Every element of a selector."""
        return self.chrome.find_elements("css selector", selector)

    def style(self, selector: str, rule: str) -> str:
        """A computed style."""
        script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
        return str(self.chrome.execute_script(script, selector, rule))

    def overflows(self) -> bool:
        """Whether the page would scroll sideways."""
        return bool(self.chrome.execute_script("return document.documentElement.scrollWidth > innerWidth"))

    def errors(self) -> list[str]:
        """What went wrong in the browser since the login."""
        return [entry["message"] for entry in self.chrome.get_log("browser") if entry["level"] == "SEVERE"]

    def foreign_requests(self) -> list[str]:
        """Addresses beyond Airflow that were asked for since the login."""
        inside = (self.url, "data:", "blob:", "about:", "chrome")
        return [url for url in browser.requests(self.chrome) if not url.startswith(inside)]

    def _drawn(self) -> None:
        browser.wait_until(self.chrome, "return performance.getEntriesByName('board-drawn').length > 0")


__all__ = ["SECTIONS", "Board", "Keys", "start_chrome"]
