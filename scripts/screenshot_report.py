"""Take screenshots of a report: on a desktop and on a phone, in light and dark colors.

    python scripts/screenshot_report.py reports/index.html reports/pictures

Needs the package playwright, and Chromium. The browser is the program in
LAKE_CI_CHROMIUM, or `chromium` or `google-chrome` on PATH.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, ViewportSize, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LIMIT = 400_000
# The maximum height of a whole-page screenshot, in CSS pixels. A whole-page screenshot
# is scaled to half its size.
HEIGHT = 3400
Scheme = Literal["light", "dark"]
# Each view has a name, the width and height of the browser window in CSS pixels, and
# the color scheme. The last value is true if the screenshot shows the whole page.
VIEWS: list[tuple[str, int, int, Scheme, bool]] = [
    ("desktop", 1280, 900, "light", False),
    ("desktop-whole", 1280, 900, "light", True),
    ("desktop-dark", 1280, 900, "dark", False),
    ("phone", 390, 844, "light", False),
    ("phone-whole", 390, 844, "light", True),
    ("phone-dark", 390, 844, "dark", False),
]


def chromium() -> str | None:
    """Return the path of the browser, or None if no browser is found."""
    named = os.environ.get("LAKE_CI_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("google-chrome")


def take(browser: Browser, page_file: Path, folder: Path) -> list[Path]:
    """Save a PNG file for each view. Returns the paths of the files."""
    taken = []
    for name, width, height, scheme, whole in VIEWS:
        size: ViewportSize = {"width": width, "height": height}
        page = browser.new_page(
            viewport=size, color_scheme=scheme, device_scale_factor=0.5 if whole else 1
        )
        page.goto(page_file.resolve().as_uri())
        file = folder / f"{name}.png"
        full = int(page.evaluate("document.documentElement.scrollHeight"))
        shown = min(full, HEIGHT) if whole else height
        page.screenshot(
            path=file,
            full_page=whole,
            clip={"x": 0, "y": 0, "width": width, "height": shown},
        )
        page.close()
        taken.append(file)
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path, help="the report's index.html")
    parser.add_argument("folder", type=Path, help="where the PNGs go")
    arguments = parser.parse_args()
    executable = chromium()
    if executable is None:
        print(
            "no Chromium: run `apt-get install chromium`,"
            " or set LAKE_CI_CHROMIUM to its path",
            file=sys.stderr,
        )
        return 3
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        taken = take(browser, arguments.page, arguments.folder)
        browser.close()
    for file in taken:
        print(f"{file} {file.stat().st_size / 1000:.0f} kB")
    too_large = [file for file in taken if file.stat().st_size > LIMIT]
    if too_large:
        print(
            f"larger than {LIMIT / 1000:.0f} kB: {', '.join(map(str, too_large))}",
            file=sys.stderr,
        )
    return 1 if too_large else 0


if __name__ == "__main__":
    sys.exit(main())
