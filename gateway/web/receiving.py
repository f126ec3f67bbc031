"""What comes from a petitioner without an account: their acts, and which filing their receipt is of."""

from collections.abc import Iterable
from uuid import UUID, uuid5

from domain.commands import AnyCommand
from domain.events import Actor, AnyEvent, CaseId, Registered
from gateway.casework.denunciations import Denunciation
from gateway.casework.desk import Recorded
from gateway.node import Node
from gateway.refusals import InputInvalid
from sync.proofs.policy import PolicyInvalid
from sync.proofs.receipt import ReceiptInvalid, ReceiptReport, verify_receipt


def act_for_petitioner(node: Node, command: AnyCommand, key: UUID) -> Recorded:
    """Carry out what a petitioner sent under `key`, once. Raises as `Desk.do`.

    Events name them by a pseudonym used for this one act, at the unit that takes it in. It is made here: whoever
    could choose it would choose an official's.
    """
    command_id = node.journal.of_visitor(key)
    return node.desk.do(command, Actor(account=command_id, role="citizen", unit=node.office), command_id)


def seal_apart(node: Node, form: Denunciation | None, key: UUID) -> UUID | None:
    """What the letter to be registered under `key` says against an official, if it does: sealed by itself, first.

    Nothing that is kept joins the two, and now and then a decoy stands in its place. Raises as `Denunciations.file`.
    """
    if form is None:
        node.cover.before_registration()
        return None
    return node.denunciations.file(form, uuid5(key, "apart"))


def registered_case(events: Iterable[AnyEvent]) -> CaseId:
    """The case that a registration's events opened: its id is the registration's own."""
    return CaseId(next(event.id for event in events if isinstance(event, Registered)))


def check_file(node: Node, data: bytes) -> ReceiptReport:
    """What a receipt file of this node shows. InputInvalid."""
    simulated = node.config.clock.kind == "shared"
    try:
        return verify_receipt(data, node.policy(), accept_simulated_clock=simulated)
    except (ReceiptInvalid, PolicyInvalid) as error:
        zh, _, en = str(error).partition(" / ")
        raise InputInvalid(zh, en, field="receipt") from error


def leaf_of_whole_file(node: Node, data: bytes) -> bytes:
    """The leaf hash that a receipt of this node is about. InputInvalid.

    A file that keeps any text closed is refused: whoever was shown a part is not the one who holds it.
    """
    report = check_file(node, data)
    if report.unopened:
        raise InputInvalid(
            "该回执略去了部分内容，请使用原始文件",
            "parts of this receipt were left out; use the original",
            field="receipt",
        )
    return report.leaf_hash
