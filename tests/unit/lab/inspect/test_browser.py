# SPDX-License-Identifier: Apache-2.0
"""Every view of the inspector in a real browser: Debian's Chromium, where it is installed."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.unit.lab.inspect.runs import HOSTILE, record
from verl_df.lab.inspect.export import export_page
from verl_df.lab.inspect.index import COLUMNS, summary
from verl_df.lab.inspect.server import InspectServer
from verl_df.method.gates import GateConfig, Level, StepSeparator, build_gate, split_steps
from verl_df.method.group_records import GROUPS_FILE
from verl_df.method.records import PAIRS
from verl_df.method.token_arrays import TOKEN_ARRAYS_FILE

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path (Debian's package of that name)")
PATIENT_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # without its sandbox, which needs rights that a container seldom gives; the pages are our own
        one = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture(params=["served", "exported"])
def address(request: pytest.FixtureRequest, run_folder: Path, tmp_path: Path) -> str:
    if request.param == "served":
        server: InspectServer = request.getfixturevalue("server")
        return server.address
    export_page(run_folder, tmp_path / "page.html")
    return (tmp_path / "page.html").as_uri()


def opened(browser: Browser, address: str, **options: object) -> Page:
    """A page; what it says on the console, and its errors, are kept in `page.complaints`."""
    page = browser.new_page(**options)
    page.set_default_timeout(PATIENT_MS)
    expect.set_options(timeout=PATIENT_MS)
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(address)
    return page


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    page = opened(browser, address)
    yield page
    assert page.complaints == []
    page.close()


def lines(page: Page) -> list[str]:
    return page.locator("#pair-list tbody th").all_inner_texts()


def by_disagreement() -> list[str]:
    """Numbers of the pairs, largest disagreement first, those without one at the end."""
    values = [summary(record(number))[COLUMNS.index("disagreement") - 3] for number in range(12)]
    order = sorted(range(12), key=lambda number: (values[number] is None, -(values[number] or 0), number))
    return [str(number + 1) for number in order]


def test_list_with_search_filters_sorting_and_keys(page: Page):
    expect(page.locator("#pair-list tbody tr")).to_have_count(12)
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("prompt-1")
    expect(page.locator("#pair-list tbody tr")).to_have_count(2)
    page.fill("#q", "")
    page.select_option("#state", "infeasible")
    expect(page.locator("#pair-list tbody tr")).to_have_count(4)
    assert lines(page) == ["1", "4", "7", "10"]
    page.select_option("#state", "")
    page.select_option("#sort", "disagreement")
    page.check("#down")
    expect(page.locator("#pair-list tbody th")).to_have_text(by_disagreement())
    page.locator("#pair-list tbody a").first.focus()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("#pair-list tbody a").nth(1)).to_be_focused()
    wanted = lines(page)[1]
    page.keyboard.press("Enter")
    expect(page.locator("#pair h2")).to_have_text(f"Pair {wanted}")
    after = page.locator("#pair-next")
    assert "pair=" in after.get_attribute("href")
    page.keyboard.press("j")
    expect(page.locator("#pair h2")).not_to_have_text(f"Pair {wanted}")
    page.keyboard.press("k")
    expect(page.locator("#pair h2")).to_have_text(f"Pair {wanted}")
    page.keyboard.press("Escape")
    expect(page.locator(f"tr[data-line='{wanted}'] a")).to_be_focused()


def test_pair_with_linked_differences_and_other_gates(page: Page, address: str):
    page.goto(f"{address}#pair=2")
    one = record(1)
    expect(page.locator(".tokens.error .t")).to_have_count(len(one.error.tokens))
    expect(page.locator(".tokens.repair .t")).to_have_count(len(one.repair.tokens))
    expect(page.locator(".tokens.error .marked")).to_have_count(sum(one.error.mask))
    expect(page.locator(".tokens.error .wrong")).to_have_count(sum(one.truth_mask))
    assert page.locator("aside img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 5
    page.locator(".tokens.error [data-block='0']").hover()
    expect(page.locator(".lit")).to_have_count(2)
    expect(page.locator(".reading")).to_contain_text("mask 1, gate 1")
    page.locator(".tokens.repair [data-block='1']").focus()
    expect(page.locator(".tokens.error .lit")).to_have_attribute("data-block", "1")
    page.check("#lens-step")
    expect(page.locator("#lens-step")).to_be_checked()
    assert "lens=step" in page.url
    steps = split_steps(one.error.tokens, StepSeparator.LINE)
    gate = build_gate(np.array(one.error.mask, dtype=bool), GateConfig(level=Level.STEP), step_ids=steps)
    assert sum(gate > 0) > sum(one.error.mask)
    expect(page.locator(".tokens.error .gated")).to_have_count(int(sum(gate > 0)))
    page.check("#lens-first")
    expect(page.locator(".tokens.error .gated")).to_have_count(1)
    page.get_by_text("Table of the tokens of y", exact=True).click()
    expect(page.get_by_label("Tokens of y").locator("tbody tr")).to_have_count(12)


def test_what_the_update_saw_stands_beside_the_tokens(page: Page, address: str):
    page.goto(f"{address}#pair=2")
    page.locator(".tokens.error [data-t='3']").hover()
    expect(page.locator(".reading")).to_contain_text(
        "advantage before the gate -0.625, advantage after the gate -0.625"
    )
    expect(page.locator(".reading")).to_contain_text("old log-prob -0.5, new log-prob -0.25, ratio 1.28, clipped yes")
    expect(page.locator("#update-notes")).to_contain_text("Not logged in this run: KL (the run has no reference model)")
    page.get_by_text("Table of the tokens of ŷ", exact=True).click()
    rows = page.get_by_label("Tokens of ŷ").locator("tr")
    heads = ["old log-prob", "new log-prob", "ratio", "clipped", "entropy"]
    expect(rows.first.locator("th")).to_have_count(12)
    assert rows.first.locator("th").all_inner_texts()[-5:] == heads
    cells = rows.nth(4).locator("td").all_inner_texts()
    assert cells[-7:] == ["0.625", "0.625", "-0.5", "-0.25", "1.28", "yes", "0.75"]
    assert rows.nth(6).locator("td").all_inner_texts()[-2] == "–"
    page.goto(f"{address}#pair=1")
    expect(page.locator("#update-notes")).to_contain_text("before the optimiser step")
    page.goto(f"{address}#pair=3")
    expect(page.locator("#update-notes")).to_contain_text("is not on record: df.log.token_arrays_per_step")


def test_texts_of_a_run_are_no_markup(page: Page, address: str):
    page.goto(f"{address}#pair=2")
    prompt = page.locator("aside pre")
    expect(prompt).to_have_text(record(1).prompt.replace("\u202e", "\\u202e"))
    assert "onerror" in HOSTILE and page.locator("img").count() == 1
    page.goto(f"{address}#pair=%3Cimg%20src%3Dx%3E")
    expect(page.locator("main")).to_contain_text("There is no pair <img src=x>")
    assert page.title() == "run"


def test_a_click_on_a_curve_shows_the_pairs_of_the_step(page: Page):
    page.get_by_role("link", name="Curves").click()
    figure = page.locator("figure", has=page.get_by_role("heading", name="Repairs", exact=True))
    figure.locator("svg").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(figure.locator(".reading")).to_contain_text("step 2:")
    page.keyboard.press("Enter")
    expect(page.locator("#groups h2")).to_have_text("Groups of step 2")
    page.get_by_role("link", name="The pairs of this step").click()
    expect(page.locator("#step")).to_have_value("2")
    assert lines(page) == ["5", "6", "7", "8"]
    page.go_back()
    page.go_back()
    page.get_by_text("own (1 metrics)").click()
    drawing = page.locator("figure", has_text="own/metric").locator("svg")
    box = drawing.bounding_box()
    drawing.click(position={"x": box["width"] * 0.98, "y": box["height"] / 2})
    expect(page.locator("#groups")).to_contain_text("No group of this step is on record")


def test_a_group_shows_its_rollouts_and_what_became_of_them(page: Page, address: str):
    page.goto(f"{address}#view=groups&step=1")
    boxes = page.locator(".group")
    expect(boxes).to_have_count(2)
    expect(boxes.nth(0)).to_contain_text("1 of 3 rollouts right, 1 of 2 errors repaired, 4 rows in the update")
    expect(boxes.nth(1)).to_contain_text("no repair asked for: no rollout was right")
    boxes.nth(0).locator("summary").click()
    rows = boxes.nth(0).locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("none asked for")
    expect(rows.nth(1)).to_contain_text("2: cut by the length limit")
    expect(rows.nth(1)).to_contain_text("12, cut")
    expect(rows.nth(2)).to_contain_text("2: chosen")
    rejected = rows.nth(2).locator("details")
    expect(rejected).to_have_count(1)
    expect(rejected.locator("pre")).to_be_hidden()
    rejected.locator("summary", has_text="1: the answer is wrong").press("Enter")
    expect(rejected.locator("pre")).to_have_text(f"Rejected. {HOSTILE}".replace("\u202e", "\\u202e"))
    expect(rows.nth(2)).to_contain_text("reward 1; in the update")
    expect(boxes.nth(0)).to_contain_text("Reference (sibling)")
    assert boxes.nth(0).locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 5
    assert page.locator("img").count() == 1  # a response that looks like one is text
    boxes.nth(0).get_by_role("link", name="pair 2").click()
    expect(page.locator("#pair h2")).to_have_text("Pair 2")
    page.get_by_role("link", name="The group of this pair").click()
    expect(boxes).to_have_count(1)
    expect(boxes.locator("tbody tr")).to_have_count(3)  # a single one is open
    page.get_by_role("link", name="All groups of this step").click()
    expect(boxes).to_have_count(2)
    page.goto(f"{address}#view=groups&step=1&q=another")
    expect(page.locator("#groups")).to_contain_text("The group of prompt another is not on record")


def test_broken_lines_beside_the_pairs_hide_nothing_else(browser: Browser, run_folder: Path, server: InspectServer):
    for name, extra in ((GROUPS_FILE, '"uid":'), (TOKEN_ARRAYS_FILE, f'"key":{json.dumps(record(1).key)},')):
        path = run_folder / name
        first, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        lines = [one for one in lines if name == GROUPS_FILE]
        path.write_text(first + '{"schema_version":1,"step":1,' + extra + "}\n" + "".join(lines), encoding="utf-8")
    page = opened(browser, f"{server.address}#view=groups&step=1")
    expect(page.locator(".group")).to_have_count(2)
    expect(page.locator("#groups .flag")).to_contain_text("Not shown: groups.jsonl, line 2: ")
    page.goto(f"{server.address}#pair=2")
    expect(page.locator("#update-notes")).to_contain_text("cannot be read. token_arrays.jsonl, line 2: ")
    expect(page.locator(".tokens.error .t")).to_have_count(12)
    assert page.complaints == []
    page.close()


def test_what_was_not_used_leads_to_its_pairs(page: Page):
    page.get_by_role("link", name="Not used").click()
    expect(page.locator("#unused")).to_contain_text("every rollout was right")
    rejected = page.get_by_label("Candidates that were rejected").locator("tbody tr")
    assert rejected.all_inner_texts() == ["the answer is wrong\t24\t2"]
    reason = page.get_by_label("Pairs on record by reason").locator("tr", has_text="cut by the length limit")
    reason.get_by_role("link").first.click()
    expect(page.locator("#pair-list tbody tr")).to_have_count(4)


def test_red_flags_say_what_to_do(page: Page):
    page.get_by_role("link", name="Red flags (1)").click()
    expect(page.locator(".flag")).to_contain_text("Fewer and fewer errors get a right repair")
    page.get_by_role("link", name="See pairs").click()
    expect(page.locator("#pair-list tbody tr")).to_have_count(4)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dark_and_light_on_a_phone(browser: Browser, address: str, scheme: str):
    page = opened(browser, address, viewport={"width": 375, "height": 700}, color_scheme=scheme)

    def brightness() -> int:
        colour = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3]))

    views = {"": "pair-list", "#pair=2": "pair", "#view=groups&step=1": "groups"}
    views |= {f"#view={name}": name for name in ("curves", "unused", "flags")}
    for view, name in views.items():
        page.goto(address + view)
        expect(page.locator(f"#{name}")).to_be_visible()
        assert page.locator("html").evaluate("page => page.scrollWidth") <= 375, view
    assert (brightness() < 300) == (scheme == "dark")
    page.get_by_role("button", name="Dark or light").click()
    assert (brightness() < 300) == (scheme == "light")
    page.close()


def test_pairs_that_are_written_meanwhile_appear(browser: Browser, server: InspectServer, run_folder: Path):
    page = opened(browser, server.address)
    expect(page.locator("#loaded")).to_have_text("12 pairs")
    with PAIRS.writer(run_folder / "pairs.jsonl") as writer:
        writer.write(record(20))
    expect(page.locator("#loaded")).to_have_text("13 pairs")
    expect(page.locator("#pair-list tbody tr")).to_have_count(13)
    page.close()
