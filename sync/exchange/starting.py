"""What a node's exchange starts from: its own log and tree, and which of the certificates that it keeps it believes."""

from collections.abc import Sequence
from typing import Final

import msgspec

from domain.divisions import Division
from sync.exchange.channel import down_lane
from sync.exchange.checkpoints import sign_again
from sync.exchange.faults import OWN_KEYS_REVOKED, Fault
from sync.exchange.station import Station
from sync.exchange.store import Transaction
from sync.proofs.note import Signer
from sync.trust.certificates import CertificateRefused, Directory
from sync.trust.statements import Certificate, read_statement

PARENT: Final = "exchange.parent"
"""The superior that this database has last served, as a number; 0 for none."""

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
    try:
        own = tx.own_log()
    except LookupError:
        tx.write_log(own := tree.log_id, 0)
    if tree.log_id != own:
        raise RuntimeError(f"{origin} is not the log that this database writes; it belongs to another node")
    for text in directory.texts():
        said = read_statement(text)
        tx.keep_certificate(said.division, said.serial, text)
    return directory


def signing_station(station: Station, following: Signer | None, former: Signer | None, directory: Directory) -> Station:
    """The node with all keys that sign for it now.

    following: a log key that is not certified yet; former: the one before, during the overlap. A key that was never
    certified, or was taken back, signs nothing more.
    """
    division, origin = station.here, station.origin
    beside = [] if following is None else [following]
    log_keys = [key for key, _ in directory.log_keys(origin)]
    gone = directory.given_up_keys(division)
    if former is not None and former.verifier in log_keys and former.verifier.vkey not in gone:
        beside.append(former)
    has_changed = len(log_keys) > 1
    papers = [text for text in directory.chain(division) if isinstance(read_statement(text), Certificate)]
    return msgspec.structs.replace(station, beside=tuple(beside), papers=tuple(papers) if has_changed else ())


def take_up_again(tx: Transaction, directory: Directory, station: Station) -> None:
    """Where this node's keys were taken back and it has others now: what it recorded beyond the last good size is its
    own all the same, and goes up again under a signature that counts."""
    size = directory.restarts_at(station.origin)
    if size is not None and sign_again(tx, size, [station.signer, *station.beside]):
        tx.lift_refusals()


def settle_below(tx: Transaction, here: Division, parent: Division | None) -> None:
    """Where this node stands below another superior than before, it reads from that one from the beginning, and offers
    it all that it holds: the new superior holds nothing of it yet."""
    now = int(parent or 0)
    before = tx.claim(PARENT)
    if before == now:
        return
    if before:
        tx.arrived(down_lane(here), 0, 0)
        for tree in tx.all_trees():
            tx.send_again(tree.log_id, 0)
    tx.move(PARENT, now)


def believed(tx: Transaction, directory: Directory, now_us: int) -> Directory:
    """The directory with every stored certificate that holds by the rules of this program.

    One that an earlier program stored and this one refuses stays in its row, is not believed, and is the fault
    `certificate_set_aside` of its division until the node starts with one that holds.
    """
    grown, refused = directory.adding_what_holds(tx.certificates())
    parents = grown.topology.parents
    good = [log for log in grown.origins() if grown.revocation(grown.division_of(log) or "") is None]
    tx.heal([OWN_KEYS_REVOKED], sorted(good), now_us)
    tx.heal([SET_ASIDE], sorted({_UNREADABLE, *parents, *parents.values()}), now_us)
    tx.fault([Fault(SET_ASIDE, _whose(text), "", str(error), text.encode()) for text, error in refused.items()], now_us)
    return grown


def _whose(text: str) -> str:
    try:
        return read_statement(text).division
    except CertificateRefused:
        return _UNREADABLE
