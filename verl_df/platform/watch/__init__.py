# SPDX-License-Identifier: Apache-2.0
"""Runs a command so that it neither hangs nor ends without a word; see `__main__`.

Standard library only, for any Python from 3.9: the watcher is there at once, needs no environment, and starts cold.
"""
