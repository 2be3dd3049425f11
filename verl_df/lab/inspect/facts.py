# SPDX-License-Identifier: Apache-2.0
"""What the page shows of a run beside its pairs, the page's own files, and pictures."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from verl_df.io.files import inside
from verl_df.io.picture_sources import PictureError, read_limited
from verl_df.io.pictures import as_png
from verl_df.lab.inspect.index import COLUMNS
from verl_df.lab.report.charts import panel_series
from verl_df.lab.report.loading import IMAGES_DIR, METRICS_FILE, METRICS_WRITER, PAIRS_FILE, PAIRS_WRITER, read_curves
from verl_df.lab.report.panels import run_sections
from verl_df.lab.report.style import DARK, LIGHT

# Modules in an order in which each imports from those before it only.
MODULES = (
    "gates.js",
    "alignment.js",
    "lens.js",
    "model.js",
    "flags.js",
    "dom.js",
    "data.js",
    "charts.js",
    "list.js",
    "update.js",
    "tokens.js",
    "pair.js",
    "curves.js",
    "groups.js",
    "unused.js",
    "app.js",
)


def check_run(run: Path) -> None:
    """Raises: FileNotFoundError where there is nothing to inspect; ValueError where a file is a link out of the run."""
    if not run.is_dir():
        raise FileNotFoundError(f"run folder {run} not found: give the one that holds {METRICS_FILE} and {PAIRS_FILE}")
    if not any(inside(run, name).is_file() for name in (METRICS_FILE, PAIRS_FILE)):
        raise FileNotFoundError(f"{run} holds neither {PAIRS_FILE} ({PAIRS_WRITER}) nor {METRICS_FILE}")


def run_facts(run: Path) -> dict[str, Any]:
    """Title, curves by metric, the report's sections of panels, and what could not be read of a run.

    A line of metrics that is being written is no reason to show nothing: the page says what is wrong and asks again.
    """
    problems, curves = [], {}
    try:
        path = inside(run, METRICS_FILE)
        if path.is_file():
            curves = read_curves(path)
        else:
            problems.append(f"{METRICS_FILE} not found, so that there are no curves: {METRICS_WRITER}")
    except (ValueError, OSError) as error:
        problems.append(str(error))
    if not inside(run, PAIRS_FILE).is_file():
        problems.append(f"{PAIRS_FILE} not found: {PAIRS_WRITER}")
    return {
        "title": run.resolve().name,
        "columns": COLUMNS,
        "curves": curves,
        "sections": [
            {"title": section.title, "panels": [_panel(panel, curves) for panel in section.panels]}
            for section in run_sections(curves)
        ],
        "problems": problems,
    }


def _panel(panel: Any, curves: dict[str, Any]) -> dict[str, Any]:
    series = [vars(one) for one in panel_series(panel, curves)]
    return {"title": panel.title, "note": panel.note, "from_zero": panel.from_zero, "series": series}


def picture(run: Path, name: str) -> bytes:
    """A picture of the run as PNG, whatever the file is, so that a browser never reads a format of its own choice.

    Raises:
        ValueError: a name outside the run's folder of pictures, or a file that is no picture.
    """
    try:
        return as_png(read_limited(inside(run / IMAGES_DIR, name)))
    except PictureError as error:
        raise ValueError(f"{IMAGES_DIR}/{name}: {error}") from error


def asset(name: str) -> str:
    """A file of the page: `page.html`, `inspect.css` (with the report's colours) or one of `MODULES`."""
    text = (files("verl_df.lab.inspect") / "web" / name).read_text(encoding="utf-8")
    if name != "inspect.css":
        return text
    colours = zip(LIGHT, DARK, strict=True)
    palette = "".join(f"--c{number}:light-dark({light},{dark});" for number, (light, dark) in enumerate(colours))
    return text.replace("/* palette */", palette)
