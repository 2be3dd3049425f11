# SPDX-License-Identifier: Apache-2.0
"""verl's multimodal RL rows: what one must be so that verl can read it, checked in one place for everybody."""
