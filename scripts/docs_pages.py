# SPDX-License-Identifier: Apache-2.0
"""A hook of mkdocs: the site has the layout of the repository, so links between its files work in both.

Pages are the Markdown files named in `nav`; every other file that a page links to is copied beside them.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"\]\(([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace what lies in docs/ by the pages and what they link to, each under its place in the repository."""
    theme = [file for file in files if not str(file.abs_src_path).startswith(config.docs_dir)]
    pages = re.findall(r"'([^']+\.md)'", str(config.nav))
    linked = [path for page in pages for path in _linked_files(page)]
    ours = [File.generated(config, path, abs_src_path=str(ROOT / path)) for path in dict.fromkeys([*pages, *linked])]
    return Files([*theme, *ours])


def _linked_files(page: str) -> list[str]:
    folder = (ROOT / page).parent
    links = [link for link in _LINK.findall((ROOT / page).read_text(encoding="utf-8")) if "://" not in link]
    found = [(folder / link).resolve() for link in links]
    return [path.relative_to(ROOT).as_posix() for path in found if path.is_file()]
