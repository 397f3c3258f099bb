"""Take the pictures of the Model board in docs/pictures, from what `make up` runs: `python -m local.board_pictures`."""

import sys
from pathlib import Path

from local import browser, environment, postgres, services, settings
from local.settings import REPO, LocalError, Settings

FOLDER = REPO / "docs" / "pictures"
# Name, width and height in pixels, what the system prefers, and the section at the top.
PICTURES = (
    ("board-desktop", 1280, 1500, "light", "champion"),
    ("board-dark", 1280, 1500, "dark", "performance"),
    ("board-phone", 390, 1500, "light", "champion"),
)


def main() -> int:
    """Take every picture; 1 when Airflow does not run or there is no browser."""
    here = settings.load()
    try:
        if services.read_record(here) is None or postgres.find_postmaster(here) is None:
            raise LocalError("Nothing runs here. Run `make up` first, on a warehouse that `make run` has filled.")
        for file in take(here, FOLDER):
            print(file)
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def take(here: Settings, folder: Path) -> list[Path]:
    """Write the pictures, as they are in Airflow's own window, and on a phone alone; returns their files."""
    written = []
    with browser.chromium() as started:
        browser.resize(started, *browser.DESKTOP)
        browser.log_in(started, here.airflow_url, environment.load_secrets(here)["admin_password"])
        for name, width, height, scheme, section in PICTURES:
            browser.resize(started, width, height)
            browser.prefer(started, scheme)
            phone = width < 500
            # Airflow keeps the theme that a person chose in its own storage; `system` follows the preference.
            started.execute_script("localStorage.removeItem('theme')")
            started.get(f"{here.airflow_url}/{'model-board/' if phone else 'plugin/model-board'}")
            if not phone:
                started.switch_to.frame(browser.wait_for(started, "iframe[title='Model board']"))
            browser.wait_until(started, "return performance.getEntriesByName('board-drawn').length > 0")
            if section != "champion":
                started.find_element("css selector", f"nav a[href='#{section}']").click()
            file = folder / f"{name}.png"
            started.save_screenshot(str(file))
            started.switch_to.default_content()
            written.append(file)
    return written


if __name__ == "__main__":
    sys.exit(main())
