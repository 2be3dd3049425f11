# SPDX-License-Identifier: Apache-2.0
"""Public data sets, and your own images with questions, as verl's multimodal RL parquet.

`verl-df data list` names the sources; each has a module here that knows its columns and its published prompt.
"""
