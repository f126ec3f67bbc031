"""What comes from a petitioner without an account: who they are to the ledger, and which filing their receipt is of."""

from collections.abc import Iterable
from uuid import UUID

from domain.events import Actor, AnyEvent, CaseId, Registered
from gateway.node import Node
from gateway.web.refusals import InputInvalid
from sync.proofs.policy import PolicyInvalid
from sync.proofs.receipt import ReceiptInvalid, verify_receipt


def petitioner(node: Node, key: UUID) -> Actor:
    """The petitioner as events name them: a pseudonym used for this one act, at the unit that takes it in."""
    return Actor(account=key, role="citizen", unit=node.office)


def registered_case(events: Iterable[AnyEvent]) -> CaseId:
    """The case that a registration's events opened: its id is the registration's own."""
    return CaseId(next(event.id for event in events if isinstance(event, Registered)))


def leaf_of_file(node: Node, data: bytes, *, whole: bool = False) -> bytes:
    """The leaf hash that a receipt of this node is about, once everything in the file was checked. InputInvalid.

    whole: refuse a file that keeps any text closed, because whoever was shown only a part must not get the rest.
    """
    simulated = node.config.clock.kind == "shared"
    try:
        report = verify_receipt(data, node.policy(), accept_simulated_clock=simulated)
    except (ReceiptInvalid, PolicyInvalid) as error:
        zh, _, en = str(error).partition(" / ")
        raise InputInvalid(zh, en, field="receipt") from error
    if whole and report.unopened:
        raise InputInvalid(
            "该回执略去了部分内容，请使用原始文件",
            "parts of this receipt were left out; use the original",
            field="receipt",
        )
    return report.leaf_hash
