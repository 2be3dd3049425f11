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


def keep(shot: Path, of: Page | Locator) -> None:
    """Take a picture with a palette: text compresses well, and the repository keeps every version."""
    of.screenshot(path=shot)
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
    table = page.get_by_label("Tokens of y", exact=True)
    table.scroll_into_view_if_needed()
    keep(folder / "inspector_tokens.png", table)
    page.get_by_role("link", name="The group of this pair").click()
    page.locator("#groups .candidates summary").first.click()
    keep(folder / "inspector_group.png", page.locator("#groups"))
    page.goto(f"{address}#view=curves")
    memory = page.locator("section", has=page.get_by_role("heading", name="Memory", exact=True)).locator("figure")
    keep(folder / "inspector_memory.png", memory.first)


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
