"""A headless Chromium for the pictures of the Model board and for the tests, and Airflow's login in it.

Chromium and its driver come from the system, and selenium is told where they are: it would fetch a browser otherwise.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from local.settings import ADMIN, LocalError

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
DRIVER = "chromedriver"
INSTALL = "apt-get install chromium chromium-driver"
WITHIN_SECONDS = 40.0
DESKTOP, PHONE = (1280, 900), (390, 844)
# As root, and in containers with a small /dev/shm, Chromium needs the first two.
OPTIONS = ("--no-sandbox", "--disable-dev-shm-usage", "--headless=new", "--hide-scrollbars", "--no-proxy-server")


def find() -> tuple[str, str]:
    """The paths of Chromium and of its driver; a LocalError names the command that installs them."""
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    driver = shutil.which(DRIVER)
    if browser is None or driver is None:
        raise LocalError(f"There is no Chromium with a driver here. On Debian or Ubuntu, as root: {INSTALL}")
    return browser, driver


@contextmanager
def chromium() -> Iterator["Chrome"]:
    """A browser for this block; everything of it is gone afterwards."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    browser, driver = find()
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield started
    finally:
        started.quit()


def log_in(browser: "Chrome", airflow_url: str, password: str) -> None:
    """Log in as the admin on Airflow's own page."""
    browser.get(airflow_url)
    wait_for(browser, "input[name=username]").send_keys(ADMIN)
    browser.find_element("css selector", "input[name=password]").send_keys(password)
    browser.find_element("css selector", "button[type=submit]").click()
    wait_until(
        browser, "return !location.pathname.includes('/auth/') && document.querySelectorAll('#root a').length > 3"
    )


def resize(browser: "Chrome", width: int, height: int) -> None:
    """Show pages as on a screen of this size, below 500 pixels as on a phone."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def prefer(browser: "Chrome", scheme: str) -> None:
    """Let the system prefer 'dark' or 'light'."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def wait_for(browser: "Chrome", selector: str, seconds: float = WITHIN_SECONDS) -> Any:
    """The first element that this CSS selector finds and that can be seen, once there is one."""
    from selenium.webdriver.support.expected_conditions import visibility_of_element_located
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds).until(visibility_of_element_located(("css selector", selector)), selector)


def wait_until(browser: "Chrome", script: str, seconds: float = WITHIN_SECONDS) -> Any:
    """What this script returns, once that is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds).until(lambda there: there.execute_script(script), script)


def requests(browser: "Chrome") -> Sequence[str]:
    """The addresses that were asked for since the last call."""
    logged: list[dict[str, str]] = browser.get_log("performance")  # type: ignore[no-untyped-call]
    messages = (json.loads(entry["message"])["message"] for entry in logged)
    return [
        str(message["params"]["request"]["url"])
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
