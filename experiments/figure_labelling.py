"""The picture of the labelling page in the README: on a screen, and on a phone in the dark.

    apt-get install chromium && pip install playwright
    python experiments/figure_labelling.py FOLDER

FOLDER has one subfolder a class; the page is labelled by its own keys, with the true labels. For the README's picture
it was the chest X-rays of Kermany et al. (CC BY 4.0). A minute or two. Expected: experiments/figures/labelling.png.
"""

import argparse
import io
import shutil
import socket
import tempfile
import threading
from pathlib import Path

import numpy as np
import uvicorn
from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

from jaxal.config import Reading
from jaxal.labelling import commands, server
from jaxal.labelling.choosing import chooser_for
from jaxal.labelling.project import Project
from jaxal.labelling.web import Access
from jaxal.presets import STRATEGY

OUT = Path(__file__).parent / "figures" / "labelling.png"
SCREEN, PHONE, GAP = ViewportSize(width=1280, height=844), ViewportSize(width=390, height=844), 24


def main() -> None:
    """Starts a project and its page, labels, and takes pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=300, help="images")
    parser.add_argument("--labels", type=int, default=120, help="answers before the picture")
    parser.add_argument("--strategy", default=STRATEGY, help="by name, or the folder of a saved policy")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jaxal-figure-") as above:
        scans, folder = Path(above) / "scans", Path(above) / "project"
        scans.mkdir()
        found = sorted(options.folder.rglob("[!.]*.*"))
        truth = {}
        for i in np.random.default_rng(0).choice(len(found), options.count, replace=False):
            path = Path(shutil.copy(found[i], scans / f"scan {len(truth) + 1:03d}{found[i].suffix}"))
            truth[path.name] = found[i].parent.name
        classes = sorted(set(truth.values()))
        commands.start(folder, images=scans, reading=Reading(encoder="efficientnet-lite0"), classes=classes)
        with Project(folder) as project:
            access, chooser = Access("figure-token", frozenset()), chooser_for(options.strategy)
            app = server.make_app(project, chooser, 5, access, "figure")
            running = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
            with socket.create_server(("127.0.0.1", 0)) as listener:
                thread = threading.Thread(target=running.run, args=([listener],))
                thread.start()
                try:
                    address = f"http://127.0.0.1:{listener.getsockname()[1]}/figure-token/"
                    draw(address, truth, classes, options.labels)
                finally:
                    running.should_exit = True
                    thread.join()
    print(OUT)


def draw(address: str, truth: dict[str, str], classes: list[str], labels: int) -> None:
    """Labels by keys on the screen, looks at it there and on the phone, and puts both beside each other."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        screen = browser.new_context(viewport=SCREEN).new_page()
        visit(screen, address, "Anna")
        for _ in range(labels):
            file = shown(screen)
            screen.keyboard.press(str(1 + classes.index(truth[file])))
            screen.wait_for_timeout(60)
        screen.wait_for_timeout(4000)  # for the quality to be judged once more
        screen.keyboard.press(str(1 + classes.index(truth[shown(screen)])))
        screen.wait_for_timeout(500)
        phone = browser.new_context(viewport=PHONE, color_scheme="dark", has_touch=True).new_page()
        visit(phone, address, "Ben")
        shown(phone)
        phone.wait_for_timeout(500)
        left, right = (Image.open(io.BytesIO(page.screenshot())) for page in (screen, phone))
        both = Image.new("RGB", (left.width + GAP + right.width, left.height), "white")
        both.paste(left, (0, 0))
        both.paste(right, (left.width + GAP, 0))
        both.quantize(256, dither=Image.Dither.NONE).save(OUT, optimize=True)
        browser.close()


def visit(page: Page, address: str, name: str) -> None:
    """Opens the page under a name."""
    page.goto(address)
    page.fill("#who input", name)
    page.press("#who input", "Enter")


def shown(page: Page) -> str:
    """The image on show, once there is one."""
    page.wait_for_selector("#image:not([hidden])")
    return page.inner_text("#file")


if __name__ == "__main__":
    main()
