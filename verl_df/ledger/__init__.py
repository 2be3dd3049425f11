# SPDX-License-Identifier: Apache-2.0
"""The time ledger: what a run spent, by part, in seconds and in device-seconds; free of torch, Ray and verl."""
