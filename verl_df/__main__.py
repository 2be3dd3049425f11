# SPDX-License-Identifier: Apache-2.0
"""`python -m verl_df`: the command `verl-df`."""

import sys

from verl_df.cli import main

sys.exit(main())
