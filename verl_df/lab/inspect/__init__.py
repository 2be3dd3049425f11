# SPDX-License-Identifier: Apache-2.0
"""The inspector: a run's pairs token by token, its curves and what it did not use, in a browser and offline."""
