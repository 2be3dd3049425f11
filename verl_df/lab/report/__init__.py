# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML file about a run: curves, costs, and error/repair pairs token by token."""

from verl_df.lab.report.page import build_report

__all__ = ["build_report"]
