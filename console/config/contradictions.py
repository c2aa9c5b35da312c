"""What each part of a config says well alone, and what cannot all be true together."""

from __future__ import annotations

from console.config.models import ActingSettings, PermissionSettings
from console.config.reading import Reading

APPROVERS = ("approve", "admin")


def check_approval(acting: ActingSettings, permissions: tuple[PermissionSettings, ...], reading: Reading) -> None:
    """What wants an approval can get one. Without any permission everybody may approve what another asked for."""
    for tier in acting.approval_tiers if permissions else ():
        if not any(one.role in APPROVERS and (not one.tiers or tier in one.tiers) for one in permissions):
            words = f"tier {tier} wants another person's approval, and no [[permissions]] lets anybody approve there"
            mend = 'Add one with role = "approve", or take the tier out.'
            reading.fault(("acting", "approval_tiers"), f"{words}. {mend}")
