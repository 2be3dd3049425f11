# SPDX-License-Identifier: Apache-2.0
"""Files that are written whole, and JSON lines that are checked when they are read."""
