# SPDX-License-Identifier: Apache-2.0
"""The placements by name; to add one: its file here, its name below and among the choices of the setting."""

from collections.abc import Callable

from verl_df.adapters.policy_training.placement import Placement, Site
from verl_df.adapters.policy_training.placements.colocated import Colocated
from verl_df.adapters.policy_training.placements.dedicated import Dedicated
from verl_df.adapters.policy_training.placements.policy import Policy
from verl_df.adapters.policy_training.placements.remote import Remote

PLACEMENTS: dict[str, Callable[[Site], Placement]] = {
    "colocated": Colocated,
    "dedicated": Dedicated,
    "policy": Policy,
    "remote": Remote,
}


def place(site: Site) -> Placement:
    """The placement that `df.repair.placement` names, started."""
    return PLACEMENTS[site.repair.placement](site)
