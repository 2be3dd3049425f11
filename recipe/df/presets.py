# SPDX-License-Identifier: Apache-2.0
"""Old names of rows of the paper's tables: `preset=NAME` goes on working, as the key that docs/results.md lists."""

import sys
from collections.abc import Iterable

from verl_df.settings.config import ConfigError, nearest

OBJECTIVE = "objective=df_gspo"
PRESETS = {
    "gspo": "df.group.mode=off",
    "df_full": "df.repair.variant=full",
    "df_lcs": "df.alignment.method=lcs",
    "df_soft": "df.gate.kind=soft",
    "df_sft_repair": "df.repair.variant=sft",
    "df_no_edit_penalty": "df.repair.variant=no_edit_penalty",
    "df_no_c1": "df.repair.variant=no_c1",
    "df_lambda_0_5": "df.repair.variant=full",
    **{f"df_lambda_0_{digit}": f"df.repair.variant=lambda_0.{digit}" for digit in (2, 4, 6, 8)},
    **{f"df_n{n}": f"df.repair.n={n}" for n in (1, 2, 3, 4)},
}


def spelled_out(arguments: Iterable[str]) -> list[str]:
    """A command line with the keys of a `preset=NAME` in its place; what else it sets wins over them.

    Raises:
        ConfigError: there was no such preset.
    """
    arguments = list(arguments)
    for argument in [one for one in arguments if one.startswith("preset=")]:
        name = argument.removeprefix("preset=")
        if name not in PRESETS:
            raise ConfigError(f"{argument}: no such preset (docs/results.md lists keys); {nearest(name, PRESETS)}")
        print(f"note: {argument} is {OBJECTIVE} {PRESETS[name]} now", file=sys.stderr)
        arguments.remove(argument)
        chosen = any(one.startswith("objective=") for one in arguments)
        arguments[:0] = [PRESETS[name]] if chosen else [OBJECTIVE, PRESETS[name]]
    return arguments
