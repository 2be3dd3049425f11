# SPDX-License-Identifier: Apache-2.0
"""The repair set D_rep = {(x, y, a, y*)} (Eq. 1) for a policy of one's own: `verl-df repair-data`.

`sample` writes a folder of wrong responses with a reference, `export` and `targets` make what y* is written with,
`import` checks it, `parquet` writes verl's files. One folder holds one set; every step reads it as a stream, so that
its size is bounded by the disk and not by memory.
"""
