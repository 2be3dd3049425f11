# SPDX-License-Identifier: Apache-2.0
"""How each benchmark takes an answer from a response and compares it with the right one."""
