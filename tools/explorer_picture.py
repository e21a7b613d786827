"""Draw docs/explorer.png, the README's picture of the explorer's page: one branch of the live network switched off.

    python tools/explorer_picture.py      (`make picture`)

It opens the page that `covidseg explore` writes, in Chromium (on the path, or named by CHROMIUM).
"""

import os
import shutil
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from covidseg.explore import write_page

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "explorer.png"
SIZE = {"width": 1280, "height": 790}
COLOURS = 128


def draw(picture: Path = PICTURE) -> Path:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        address = write_page(Path(folder) / "explorer.html").as_uri()
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        page.locator(".switches input").nth(2).uncheck()
        page.wait_for_function("() => panels[1].plain && panels.every((panel) => !panel.running)")
        page.wait_for_timeout(500)  # the ribbon comes a moment later
        page.evaluate("document.getElementById('pass').hidden = true")  # a time is this machine's
        seen = Image.open(BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    seen.quantize(COLOURS, kmeans=1).save(picture, optimize=True)
    return picture


if __name__ == "__main__":
    print(draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE))
