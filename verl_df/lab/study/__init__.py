# SPDX-License-Identifier: Apache-2.0
"""Studies: arms x seeds x worlds, each a launch script with other settings, and the tables made of them."""
