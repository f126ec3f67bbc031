"""Which cases an account may see: those its duty concerns, and of all others not even that they exist."""

from typing import Final

from domain.case import CaseFile
from domain.divisions import Division
from domain.parts import node_of
from gateway.accounts import Account, AccountRole
from gateway.refusals import RoleForbidden

STAFF: Final[tuple[AccountRole, ...]] = ("clerk", "handler", "leader", "supervisor", "auditor")
OVERSEERS: Final[tuple[AccountRole, ...]] = ("leader", "supervisor", "auditor")
"""They see everything this node has learned; clerks and handlers what their own node files or handles."""


def require_staff(account: Account) -> None:
    """RoleForbidden for accounts that do not work on cases."""
    if account.role not in STAFF:
        raise RoleForbidden


def may_see(file: CaseFile, account: Account, here: Division) -> bool:
    """Whether the case concerns the account: filed here, once held here, or ordered to answer here."""
    if account.role in OVERSEERS:
        return True
    if account.role not in STAFF:
        return False
    is_held = any(leg.node == here for leg in file.legs.values())
    is_ordered = any(node_of(order.issued.unit) == here for order in file.orders.values())
    return file.filed_at == here or is_held or is_ordered
