"""The commands about trust policies: a node's draft, a superior's signature, and publishing what came back."""

from pathlib import Path

from gateway.hosting import config, founding, policies
from gateway.hosting.clock import SharedClock, SystemClock
from gateway.hosting.config import NodeConfig
from gateway.hosting.databases import database_of
from sync.ledger.connections import connect
from sync.proofs.policy import format_policy
from sync.trust.certificates import Directory, verify_chain
from sync.trust.keys import load_keys, replace_private


def draft_of(folder: Path) -> str:
    """The policy of the node's own log, unsigned. Raises ConfigInvalid, NotEnrolled."""
    return format_policy(policies.draft(config.load(folder), _own_line(folder)))


def sign_draft(folder: Path, draft: str, out: Path, *, accept_weaker: bool) -> str:
    """Write the draft as the node of `folder` signs it; the vkey under which that is verified.

    Raises PolicyInvalid, PolicyWeaker, PolicyNotOurs, CertificateRefused, KeyFileRefused.
    """
    settings, signer = config.load(folder), load_keys(folder / founding.KEYS).log
    with database_of(folder) as dsn:
        directory = _known(folder, dsn)
    note = policies.issue(folder, signer, directory, draft, _now_us(settings), accept_weaker=accept_weaker)
    replace_private(out, note.encode())
    return signer.verifier.vkey


def install_signed(folder: Path, note: str, *, accept_weaker: bool) -> int:
    """The number of the policy that is published from the next start on. Raises as `policies.install`."""
    return policies.install(folder, config.load(folder), _own_line(folder), note, accept_weaker=accept_weaker)


def _own_line(folder: Path) -> Directory:
    """The certificates from the root down to the node, as its superior gave them."""
    given = founding.enrolment(folder)
    return verify_chain(given.certificates, given.root_fingerprint)


def _known(folder: Path, dsn: str) -> Directory:
    """Every certificate that the node knows."""
    with connect(dsn) as conn:
        texts = [text for (text,) in conn.execute("select body from certificate order by serial, division")]
    directory, _ = _own_line(folder).adding_what_holds(texts)
    return directory


def _now_us(settings: NodeConfig) -> int:
    clock = SharedClock(Path(settings.clock.path)) if settings.clock.kind == "shared" else SystemClock()
    return clock.now_us()
