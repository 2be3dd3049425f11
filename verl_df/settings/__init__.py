# SPDX-License-Identifier: Apache-2.0
"""The `df:` blocks, typed; the objectives; everything that can be known to be wrong before Ray starts."""
