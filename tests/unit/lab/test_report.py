# SPDX-License-Identifier: Apache-2.0
"""The HTML report, on a synthetic run folder."""

import base64
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from verl_df.cli import main
from verl_df.lab.report import build_report
from verl_df.lab.report.charts import phase_series
from verl_df.lab.report.loading import read_curves
from verl_df.lab.report.page import TEMPLATES, format_duration
from verl_df.lab.report.pairs import choose_pairs
from verl_df.lab.report.svg import HEIGHT, WIDTH, Series, format_number, format_ticks, line_chart, nice_ticks, smooth
from verl_df.lab.report.tables import object_tables
from verl_df.lab.visible import visible
from verl_df.method.alignment import align
from verl_df.method.records import PAIRS, PairRecord, TokenSide

PARTS = TEMPLATES.get_template("parts.html").module
VOID_TAGS = {"meta", "img"}
HOSTILE = "<script>alert(\"x\")</script> & 'q'"


class BalanceChecker(HTMLParser):
    """Collects the tags that are used and the text, and fails on a tag that is closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.seen.add(tag)
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def side(tokens: list[str], mask: list[int], reward: float) -> TokenSide:
    gate = [0.6 * value for value in mask]
    return TokenSide(tuple(range(len(tokens))), tuple(tokens), tuple(mask), tuple(gate), reward)


def pair(
    step: int, uid: str = "p0", *, wrong: str = "blue", right: str = "red", images: tuple[str, ...] = ()
) -> PairRecord:
    """A pair that differs in the word of one cell and in the count and totals that follow from it."""

    def response(cell: str, count: str) -> list[str]:
        row = ["row1", ":", f" {cell}", " empty", " red", " =", count, " total", count, "\n"]
        return [*row, "\\boxed{", count, "}", "<|im_end|>"]

    error, repair = response(wrong, "1"), response(right, "2")
    vocabulary = {text: index for index, text in enumerate(dict.fromkeys(error + repair))}
    alignment = align([vocabulary[text] for text in error], [vocabulary[text] for text in repair])
    truth = tuple(int(left != right) for left, right in zip(error, repair, strict=True))
    return PairRecord(
        step=step,
        uid=uid,
        prompt="<image>How many cells of the picture are red?",
        images=images,
        ground_truth="2",
        reference="row1: red empty red =2 total2\n\\boxed{2}",
        reference_kind="sibling",
        error=side(error, alignment.error_mask.astype(int).tolist(), 0.0),
        repair=side(repair, alignment.repair_mask.astype(int).tolist(), 1.0),
        edit_distance=alignment.distance,
        edit_ratio=alignment.distance / len(error),
        truth_mask=truth,
        rejections=(None, "wrong"),
    )


def metrics_at(step: int, steps: int, noise: random.Random) -> dict[str, float]:
    done = step / steps

    def near(value: float, spread: float = 0.03) -> float:
        return value + noise.uniform(-spread, spread)

    timers = {"gen": 1.4, "df": 0.6, "reward": 0.05, "old_log_prob": 0.4, "adv": 0.02, "update_actor": 0.8}
    metrics = {f"timing_s/{name}": near(value, value / 5) for name, value in timers.items()}
    metrics["timing_s/step"] = sum(metrics.values()) + 0.2
    return metrics | {
        "critic/score/mean": near(0.5),
        "df/error_rate": near(0.55 - 0.3 * done),
        "df/repair_feasible_rate": near(0.8),
        "df/candidate_correct_rate": near(0.66),
        "df/edit_ratio/mean": near(0.09, 0.01),
        "df/mask_density/error": near(0.11, 0.01),
        "df/mask_density/repair": near(0.12, 0.01),
        "df/mask_truth/precision": near(0.9),
        "df/mask_truth/recall": near(0.8),
        "df/rejected/wrong": float(noise.randint(5, 15)),
        "df/rejected/unfinished": float(noise.randint(0, 3)),
        "df/skipped/all_correct": float(noise.randint(0, 4)),
        "df/infeasible": float(noise.randint(2, 6)),
        "df/groups_of_one": float(noise.randint(0, 2)),
        "df/repaired/ratio": near(1.0, 0.01),
        "df/policy/ratio": near(1.0, 0.005),
        "df/repaired/entropy": near(0.3),
        "df/policy/entropy": near(0.25),
        "df/repaired/own_metric": near(2.0),
        "actor/entropy": near(0.3 - 0.1 * done, 0.02),
        "actor/grad_norm": near(1.0, 0.3),
    }


def write_metrics(path: Path, lines: list[dict]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def make_run(run: Path, steps: int = 12) -> Path:
    """A run folder as training leaves it: validation at step 0 and every fourth step, pairs, images, summary."""
    noise = random.Random(0)
    (run / "images").mkdir(parents=True)
    lines = [{"step": 0, "data": {"val-core/toy/acc/mean@1": 0.41}}]
    for step in range(1, steps + 1):
        data: dict = metrics_at(step, steps, noise)
        if step % 4 == 0:
            data["val-core/toy/acc/mean@1"] = round(0.41 + 0.3 * step / steps, 4)
        lines.append({"step": step, "data": data})
    write_metrics(run / "metrics.jsonl", lines)
    colours = np.array([[200, 60, 60], [60, 90, 200], [235, 235, 225]], dtype=np.uint8)
    with PAIRS.writer(run / "pairs.jsonl") as writer:
        for step in range(1, steps + 1):
            for index in range(3):
                name = f"{step}_{index}.png"
                cells = colours[np.random.default_rng(step * 3 + index).integers(0, 3, (3, 3))]
                Image.fromarray(cells).save(run / "images" / name)
                writer.write(pair(step, f"{step}-{index}", images=(name,)))
    settings = {"n": 2, "lambda": 0.5, "masks": ["a"]}
    summary = {"title": "DF-GRPO on the toy world", "base accuracy": 0.41, "settings": settings}
    (run / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    table = {"sibling": {"answer right": 0.74, "edit ratio": 0.11}, "answer": {"answer right": 0.7, "edit ratio": 0.2}}
    (run / "repair_eval.json").write_text(json.dumps({"held out": table}), encoding="utf-8")
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


def test_report_is_well_formed_and_complete(run: Path) -> None:
    page = build_report(run)
    checker = BalanceChecker()
    checker.feed(page)
    assert checker.open == []
    assert "script" not in checker.seen
    assert "41.0% → 71.0%" in page and "+30.0 points, step 0 to 12" in page
    for title in (
        "Held-out accuracy",
        "Mask density",
        "Special cases",
        "Repaired rows beside the rest",
        "Seconds per step",
    ):
        assert f"<h3>{title}</h3>" in page or f"<h2>{title}</h2>" in page
    assert page.count('<article class="pair">') == 6
    assert "<h1>DF-GRPO on the toy world</h1>" in page
    assert "<h3>Ratio</h3>" in page and "<h3>own metric</h3>" in page
    assert "<code>df/policy/own_metric</code>" in page
    assert "<td>0.74</td>" in page


def test_report_needs_no_network(run: Path) -> None:
    page = build_report(run)
    assert not re.search(r"https?://|//[a-z]|url\(|@import|<link|<iframe", page)
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]*)"', page))


def test_images_are_embedded_byte_for_byte(run: Path) -> None:
    shown = {base64.b64decode(code) for code in re.findall(r"data:image/png;base64,([^\"]+)", build_report(run))}
    assert len(shown) >= 2
    assert shown <= {path.read_bytes() for path in (run / "images").iterdir()}


def test_every_logged_point_is_drawn(run: Path) -> None:
    page = build_report(run)
    for step, value in read_curves(run / "metrics.jsonl")["df/error_rate"]:
        assert f"<title>error rate, step {step}: {format_number(value)}</title>" in page
    assert "<title>toy, step 4: 0.51</title>" in page
    (infeasible,) = (value for step, value in read_curves(run / "metrics.jsonl")["df/infeasible"] if step == 12)
    assert f"<title>no right repair, step 12: {format_number(infeasible)}</title>" in page


def test_missing_metrics_are_listed_and_their_panels_left_out(run: Path) -> None:
    page = build_report(run)
    charts, not_logged = page.split("<h2>Not logged</h2>")
    assert "<code>critic/score/mean</code>" not in not_logged
    assert "<code>response_length/mean</code>" in not_logged and "<h3>Response length</h3>" not in charts
    assert "<code>df/mask_truth/f1</code>" in not_logged and "<h3>Mask against truth</h3>" in charts


def test_validation_only_once_shows_no_gain(run: Path) -> None:
    write_metrics(run / "metrics.jsonl", [{"step": 0, "data": {"val-core/toy/acc/mean@4": 0.25}}])
    page = build_report(run)
    assert "25.0%" in page and "step 0 only" in page and "→" not in page


def test_texts_are_escaped(run: Path) -> None:
    record = pair(3, uid=HOSTILE, wrong=HOSTILE, right="<b>\n&amp;")
    (run / "pairs.jsonl").unlink()
    with PAIRS.writer(run / "pairs.jsonl") as writer:
        writer.write(record)
    nested = {HOSTILE: {HOSTILE: HOSTILE}}
    (run / "summary.json").write_text(json.dumps({"title": HOSTILE, HOSTILE: HOSTILE, "n": nested}))
    data = {f"val-core/{HOSTILE}/acc/mean@1": 0.5, f"df/rejected/{HOSTILE}": 1}
    write_metrics(run / "metrics.jsonl", [{"step": 1, "data": data}])
    page = build_report(run)
    checker = BalanceChecker()
    checker.feed(page)
    assert checker.open == [] and not checker.seen & {"script", "b/"}
    assert "<script" not in page and "&lt;script&gt;alert(" in page
    assert '&lt;b&gt;<span class="break">⏎</span>\n&amp;amp;' in page


@given(st.lists(st.text(max_size=8), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_tokens_keep_their_text(texts: list[str], noise: random.Random) -> None:
    mask = [noise.randint(0, 1) for _ in texts]
    html = str(PARTS.tokens(side(texts, mask, 0.0), [noise.random() < 0.5 for _ in texts]))
    collector = BalanceChecker()
    collector.feed(html)
    shown = [[visible(line) for line in text.replace("\r", "").split("\n")] for text in texts]
    assert collector.text == "".join("⏎\n".join(lines) or "∅" for lines in shown)
    assert html.count('class="t marked gated') == sum(mask)


def test_token_classes_show_mask_gate_and_truth() -> None:
    tokens = TokenSide((1, 2, 3), ("a", "b", "c"), (1, 0, 1), (0.25, 0.0, 0.0), 0.0)
    first, second, third = re.findall(r'<span class="t[^>]*>', PARTS.tokens(tokens, (1, 1, 0)))
    assert 'class="t marked gated wrong"' in first and 'style="--g:0.25"' in first
    assert 'title="gate 0.25, marked, truly wrong"' in first
    assert 'class="t wrong"' in second and "style" not in second
    assert 'class="t marked"' in third


def test_pairs_are_spread_over_the_run() -> None:
    records = [pair(step, uid=f"{step}") for step in range(1, 101)]
    chosen = choose_pairs(records, 5)
    assert [(record.step - 1) // 20 for record in chosen] == [0, 1, 2, 3, 4]


def test_pairs_without_a_repair_are_not_chosen_and_prompts_do_not_repeat() -> None:
    infeasible = pair(1).__class__(**{**vars(pair(1)), "repair": None, "edit_distance": None, "edit_ratio": None})
    assert choose_pairs([infeasible], 3) == []
    records = [pair(1, "a"), pair(2, "a"), pair(3, "a"), pair(4, "b")]
    assert [record.uid for record in choose_pairs([infeasible, *records], 2)] == ["a", "b"]
    assert len(choose_pairs(records, 10)) == 4


def test_a_run_without_repairs_says_so(run: Path) -> None:
    (run / "pairs.jsonl").write_text("")
    assert "No erroneous rollout of this run got a right repair." in build_report(run)


@pytest.mark.parametrize(("name", "hint"), [("metrics.jsonl", "trainer.logger"), ("pairs.jsonl", "df.log.dir")])
def test_missing_inputs_name_the_file_and_its_writer(run: Path, name: str, hint: str) -> None:
    (run / name).unlink()
    with pytest.raises(FileNotFoundError, match=hint) as error:
        build_report(run)
    assert name in str(error.value)


def test_missing_image_is_named(run: Path) -> None:
    for path in (run / "images").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"\.png not found"):
        build_report(run)


@pytest.mark.parametrize("line", ["{", '{"step": 1}', '{"step": "1", "data": {}}', "[]"])
def test_malformed_metrics_name_the_line(run: Path, line: str) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 14"):
        build_report(run)


def test_curves_skip_null_and_merge_lines_of_a_step(tmp_path: Path) -> None:
    logged = [(2, {"a": 1, "b": None, "c": "text"}), (1, {"a": 3}), (2, {"a": 5})]
    write_metrics(tmp_path / "metrics.jsonl", [{"step": step, "data": data} for step, data in logged])
    assert read_curves(tmp_path / "metrics.jsonl") == {"a": ((1, 3.0), (2, 5.0))}
    write_metrics(tmp_path / "metrics.jsonl", [])
    with pytest.raises(ValueError, match="holds no metrics"):
        read_curves(tmp_path / "metrics.jsonl")


def test_verl_file_logger_lines_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = pytest.importorskip("verl.utils.tracking")
    monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(tmp_path / "metrics.jsonl"))
    logger = tracking.FileLogger("project", "experiment")
    logger.log({"a": np.float32(0.5), "b": float("nan"), "c": np.int64(3)}, step=7)
    logger.finish()
    assert read_curves(tmp_path / "metrics.jsonl") == {"a": ((7, 0.5),), "c": ((7, 3.0),)}


def test_command_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run / "sub" / "report.html"
    assert main(["report", "--run", str(run), "--out", str(out), "--pairs", "2"]) == 0
    assert out.read_text(encoding="utf-8").count('<article class="pair">') == 2
    assert main(["report", "--run", str(run / "nowhere")]) == 1
    assert "not found" in capsys.readouterr().err
    assert main(["report", "--run", str(run), "--pairs", "0"]) == 1


def test_phases_add_up_to_the_step() -> None:
    timers = {"step": 5.0, "gen": 2.0, "ref": 1.0, "values": 0.5, "testing": 9.0}
    curves = {f"timing_s/{name}": ((1, seconds),) for name, seconds in timers.items()}
    seconds = {one.label: one.points for one in phase_series(curves)}
    assert seconds == {"rollout": ((1, 2.0),), "log-probabilities, values": ((1, 1.5),), "other": ((1, 1.5),)}


finite = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))
by_step = st.dictionaries(st.integers(0, 500), finite, min_size=1, max_size=40)
curve = by_step.map(lambda points: tuple(sorted(points.items())))


@given(curve, st.booleans())
def test_points_lie_inside_the_chart_and_keep_their_order(points: tuple, from_zero: bool) -> None:
    chart = line_chart([Series("a", 0, points)], label="x", from_zero=from_zero)
    drawn = [(float(x), float(y)) for x, y in re.findall(r'<circle[^>]* cx="([^"]+)" cy="([^"]+)"', chart)]
    assert len(drawn) == len(points)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in drawn)
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)
    by_value = [y for _, (_, y) in sorted(zip(points, drawn, strict=True), key=lambda both: both[0][1])]
    assert by_value == sorted(by_value, reverse=True)


@given(finite, st.floats(1e-2, 1e6))
def test_ticks_cover_the_range(low: float, spread: float) -> None:
    ticks = nice_ticks(low, low + spread)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low + spread * 1e-6 and ticks[-1] >= low + spread * (1 - 1e-6)
    assert ticks == sorted(set(ticks))


@given(st.floats(-1e4, 1e4), st.floats(1e-2, 1e4))
def test_tick_labels_differ(low: float, spread: float) -> None:
    labels = format_ticks(nice_ticks(low, low + spread))
    assert len(set(labels)) == len(labels)


def test_smoothing_keeps_steps_and_constant_curves() -> None:
    points = tuple((step, 2.0) for step in range(40))
    assert smooth(points) == points
    assert smooth(((0, 0.0), (1, 3.0), (2, 0.0), (3, 0.0), (4, 0.0)))[2] == (2, 0.6)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.5, "0.5"), (0.12345, "0.123"), (12.345, "12.3"), (100.0, "100"), (-2.0, "-2"), (2e-5, "2.0e-5")],
)
def test_number_format(value: float, text: str) -> None:
    assert format_number(value) == text


def test_durations() -> None:
    assert [format_duration(seconds) for seconds in (4.2, 75, 7260)] == ["4.2 s", "1.2 min", "2.0 h"]


def test_tables_take_any_json_object() -> None:
    rows = [{"x": 0.5, "y": None}, {"x": True}]
    value = {"a": 1, "rows": rows, "deep": {"more": {"b": [1, 2]}}, "mixed": [1, {"c": 2}]}
    html = PARTS.tables(object_tables(value))
    assert "<td>0.5</td><td>–</td>" in html and "<td>yes</td>" in html
    assert "<td>1, 2</td>" in html and "<th>c</th>" in html


extreme = (
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**400), 10**400) | st.none() | st.booleans()
)


@given(st.lists(st.tuples(st.integers(0, 2**31 - 1), extreme, extreme), min_size=1, max_size=30), st.data())
def test_any_number_is_drawn_or_left_out(values: list[tuple], data: st.DataObject) -> None:
    """Flat, tiny, huge and negative ones, as losses, accuracies and seconds."""
    near = data.draw(st.sampled_from([0.4453125, 1.0, 1e-300, 1e99]))
    lines = [
        {"step": step, "data": {"df/error_rate": value, "val-core/x/acc/mean@1": near + ulp, "timing_s/gen": seconds}}
        for (step, value, seconds), ulp in zip(values, [0.0, near * 2**-52] * 15, strict=False)
    ]
    with TemporaryDirectory() as folder:
        write_metrics(Path(folder) / "metrics.jsonl", lines)
        (Path(folder) / "pairs.jsonl").touch()
        page = build_report(Path(folder))
    assert not re.search(r' (?:cx|cy|x|y|height|points)="[^"]*(?:nan|inf)', page)
    for x, y in re.findall(r'<circle[^>]* cx="([^"]+)" cy="([^"]+)"', page):
        assert 0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT


@pytest.mark.parametrize(
    "line",
    ['{"step": -1, "data": {}}', f'{{"step": {10**400}, "data": {{}}}}', '{"step": true, "data": {}}', "[" * 9999],
)
def test_steps_that_are_none_are_named(run: Path, line: str) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line \d+: "):
        build_report(run)


def test_an_image_outside_the_run_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (run / "images").mkdir(exist_ok=True)
    (run / "images/link.png").symlink_to(tmp_path / "secret.png")
    for name in ("../../secret.png", str(tmp_path / "secret.png"), "../metrics.jsonl", "link.png", "a\0.png"):
        (run / "pairs.jsonl").unlink()
        with PAIRS.writer(run / "pairs.jsonl") as writer:
            writer.write(pair(1, images=(name,)))
        with pytest.raises(ValueError, match="is not inside|null byte"):
            build_report(run)


def test_hidden_characters_are_shown_and_half_a_pair_is_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "pairs.jsonl").unlink()
    with PAIRS.writer(run / "pairs.jsonl") as writer:
        writer.write(pair(1, uid="\u202eevil\u200b", wrong="\ud83d", right="\x1b[31m"))
    assert main(["report", "--run", str(run)]) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert all(text in page for text in ("\\u202eevil\\u200b", "\\ud83d", "\\x1b[31m"))
    assert not any(text in page for text in "\u202e\u200b\x1b")


def test_a_report_that_fails_leaves_the_one_before(run: Path) -> None:
    (run / "report.html").write_text("before")
    (run / "pairs.jsonl").write_text("{}")
    assert main(["report", "--run", str(run)]) == 1
    assert (run / "report.html").read_text() == "before"


def test_a_broken_pair_is_named_by_file_and_line(run: Path) -> None:
    """Every value of a pair replaced by one of another kind."""
    text = (run / "pairs.jsonl").read_text().splitlines()[0]
    whole = json.loads(text)
    for key in whole:
        for value in (None, 3, -1.5, "x", [], [None], {}, True, float("nan"), [[]]):
            changed = {**whole, key: value}
            names = whole[key] if key in ("error", "repair") else ()
            for broken in (changed, *({**whole, key: {**whole[key], name: value}} for name in names)):
                (run / "pairs.jsonl").write_text(f"{text}\n{json.dumps(broken)}\n")
                try:
                    build_report(run)
                except ValueError as error:
                    assert str(error).startswith(f"{run / 'pairs.jsonl'}, line 2: ")
                except FileNotFoundError as error:  # images: ["x"] would be one
                    assert "images" in str(error)


def test_the_page_may_load_nothing(run: Path) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', build_report(run))
    assert policy and policy[1].split("; ") == [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        "form-action 'none'",
        "base-uri 'none'",
    ]
