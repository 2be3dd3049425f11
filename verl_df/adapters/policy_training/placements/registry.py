# SPDX-License-Identifier: Apache-2.0
"""The placements by name; to add one: its file here, its name below and among the choices of the setting."""

from collections.abc import Callable

from verl_df.adapters.policy_training.placement import Placement, Site
from verl_df.adapters.policy_training.placements.colocated import Colocated
from verl_df.adapters.policy_training.placements.dedicated import Dedicated
from verl_df.adapters.policy_training.placements.nowhere import Nowhere
from verl_df.adapters.policy_training.placements.policy import Policy
from verl_df.adapters.policy_training.placements.remote import Remote
from verl_df.controls.settings import NEVER_ASKS, Control

PLACEMENTS: dict[str, Callable[[Site], Placement]] = {
    "colocated": Colocated,
    "dedicated": Dedicated,
    "policy": Policy,
    "remote": Remote,
}


def place(site: Site, control: Control) -> Placement:
    """The placement that `df.repair.placement` names, started; none where the control never asks a repair model."""
    if control in NEVER_ASKS:
        return Nowhere()
    return PLACEMENTS[site.repair.placement](site)
