"""What a node's exchange starts from: its own log and tree, and which of the certificates that it keeps it believes."""

from collections.abc import Sequence
from typing import Final

from sync.exchange.faults import Fault
from sync.exchange.store import Transaction
from sync.proofs.tree import OWN_LOG
from sync.trust.certificates import CertificateRefused, Directory, read_certificate

SET_ASIDE: Final = "certificate_set_aside"
"""The kind of the fault that names a division with a stored certificate that is not believed."""

_UNREADABLE: Final = "certificate"


def found(tx: Transaction, origin: str, certificates: Sequence[str], root_fingerprint: str) -> Directory:
    """Make a fresh database that of the node whose log is `origin`: its log, its tree, whom it trusts.

    certificates: from the root down to its own. May be repeated. Raises CertificateRefused.
    """
    directory = Directory(root_fingerprint).adding_all(certificates)
    division = directory.division_of(origin)
    if division is None:
        raise CertificateRefused("unknown_author", f"没有{origin}的证书", f"nobody has certified {origin}")
    tree = tx.plant(origin, division)
    if tree.log_id != OWN_LOG:
        raise RuntimeError(f"{origin} is not the first log of this database; it belongs to another node")
    for text in directory.texts():
        certificate = read_certificate(text)
        tx.keep_certificate(certificate.division, certificate.serial, text)
    return directory


def believed(tx: Transaction, directory: Directory, now_us: int) -> Directory:
    """The directory with every stored certificate that holds by the rules of this program.

    One that an earlier program stored and this one refuses stays in its row, is not believed, and is the fault
    `certificate_set_aside` of its division until the node starts with one that holds.
    """
    grown, refused = directory.adding_what_holds(tx.certificates())
    parents = grown.topology.parents
    tx.heal([SET_ASIDE], sorted({_UNREADABLE, *parents, *parents.values()}), now_us)
    tx.fault([Fault(SET_ASIDE, _whose(text), "", str(error), text.encode()) for text, error in refused.items()], now_us)
    return grown


def _whose(text: str) -> str:
    try:
        return read_certificate(text).division
    except CertificateRefused:
        return _UNREADABLE
