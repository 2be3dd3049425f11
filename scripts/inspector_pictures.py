# SPDX-License-Identifier: Apache-2.0
"""Pictures of the inspector for README and docs, taken of a run in a real browser (Debian's chromium).

    STEPS=5 bash examples/toy/run_toy_qwen2_5_vl.sh df.log.token_arrays_per_step=-1 df.repair.n=4
    .venv/bin/python scripts/inspector_pictures.py outputs/toy/df_grpo --pair 12

| file | shows |
| --- | --- |
| inspector_pair.png | the pair, with what the update saw of the first marked token |
| inspector_tokens.png | its table of tokens |
| inspector_group.png | the group of the pair, the text of its first rejected repair opened |
| inspector_memory.png | peak memory by process |
"""

import argparse
import shutil
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

from verl_df.lab.inspect.server import InspectServer

FOLDER = Path(__file__).resolve().parent.parent / "docs/pictures"
WIDE, HIGH = 1160, 760
MARGIN = 12


def keep(shot: Path, page: Page, of: Locator | None = None, high: int = HIGH) -> None:
    """Take a picture of the window, or of an element and no more than its upper `high` pixels.

    It gets a palette: text compresses well so, and the repository keeps every version.
    """
    clip = None
    if of is not None:
        box = of.bounding_box()
        assert box is not None
        scrolled = page.evaluate("scrollY")  # the box is in the window
        top, left = max(0, box["y"] + scrolled - MARGIN), max(0, box["x"] - MARGIN)
        clip = {
            "x": left,
            "y": top,
            "width": box["width"] + 2 * MARGIN,
            "height": min(high, box["height"] + 2 * MARGIN),
        }
    page.screenshot(path=shot, clip=clip, full_page=of is not None)
    with Image.open(shot) as picture:
        small = picture.convert("RGB").quantize(128)
    small.save(shot, optimize=True)


def take(page: Page, address: str, pair: int, folder: Path) -> None:
    """All pictures of a run that is served at `address`."""
    page.goto(f"{address}#pair={pair}")
    page.locator(".tokens.error .marked").first.hover()
    page.locator("aside img").first.evaluate("image => image.decode()")
    keep(folder / "inspector_pair.png", page)
    page.get_by_text("Table of the tokens of y", exact=True).click()
    keep(folder / "inspector_tokens.png", page, page.locator("details.figures").first, 560)
    page.get_by_role("link", name="The group of this pair").click()
    page.locator("#groups .candidates summary", has_text="wrong").first.click()
    keep(folder / "inspector_group.png", page, page.locator("#groups"))
    page.goto(f"{address}#view=curves")
    page.get_by_role("heading", name="Memory", exact=True).wait_for()
    memory = page.locator("section", has=page.get_by_role("heading", name="Memory", exact=True)).locator("figure")
    keep(folder / "inspector_memory.png", page, memory.first)


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pair", type=int, default=1, help="its line in pairs.jsonl (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder (default: docs/pictures)")
    arguments = parser.parse_args()
    with InspectServer(arguments.run, 0) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": WIDE, "height": HIGH}, color_scheme="light")
        take(page, server.address, arguments.pair, arguments.out)
        chromium.close()
        server.shutdown()


if __name__ == "__main__":
    main()
