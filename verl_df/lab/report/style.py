# SPDX-License-Identifier: Apache-2.0
"""The colours of charts; everything else is in `report.css`."""

# Eight hues that stay apart for colour-blind readers; 0 (blue) is the repair's and 1 (orange) the error's throughout.
LIGHT = ("#2563c9", "#d2600a", "#138a63", "#8b46c4", "#b3861a", "#0d8a9c", "#c23a6b", "#8b94a3")
DARK = ("#79a8ff", "#ff9f52", "#4fcf9d", "#c596f5", "#e3bd58", "#56c8d8", "#f588ae", "#7d8796")
