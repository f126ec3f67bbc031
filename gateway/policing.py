"""The commands about trust policies: a node's draft, a superior's signature, and publishing what came back."""

from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
from psycopg.errors import UndefinedTable

from domain.shards import shard_of
from gateway.hosting import config, founding, policies
from gateway.hosting.clock import SharedClock, SystemClock
from gateway.hosting.config import NodeConfig
from gateway.hosting.databases import database_of
from sync.ledger.connections import connect
from sync.ledger.reader import own_log
from sync.proofs.note import Verifier
from sync.proofs.policy import format_policy
from sync.proofs.postgres_trees import PostgresTrees
from sync.trust.certificates import Directory, verify_chain
from sync.trust.keys import load_keys, replace_private


def draft_of(folder: Path) -> str:
    """The policy of the node's own log, unsigned. Raises ConfigInvalid, NotEnrolled."""
    return format_policy(policies.draft(_settings(folder), _own_line(folder), partial(_cosigned_by, folder)))


def sign_draft(folder: Path, draft: str, out: Path, *, accept_weaker: bool) -> str:
    """Write the draft as the node of `folder` signs it; the vkey under which that is verified.

    Raises PolicyInvalid, PolicyWeaker, PolicyNotOurs, CertificateRefused, KeyFileRefused.
    """
    settings, signer = config.load(folder), load_keys(folder / founding.KEYS).log
    with database_of(folder) as dsn:
        directory, held, now_us = _known(folder, dsn), partial(_held, dsn), _now_us(settings)
        note = policies.issue(folder, signer, directory, draft, now_us, held, accept_weaker=accept_weaker)
    replace_private(out, note.encode())
    return signer.verifier.vkey


def install_signed(folder: Path, note: str, *, accept_weaker: bool) -> int:
    """The number of the policy that is published from the next start on. Raises as `policies.install`."""
    settings, line, cosigned_by = _settings(folder), _own_line(folder), partial(_cosigned_by, folder)
    return policies.install(folder, settings, line, note, cosigned_by, accept_weaker=accept_weaker)


def _settings(folder: Path) -> NodeConfig:
    """The configuration as of the shard that is written; as it stands where the node never started."""
    settings = config.load(folder)
    with database_of(folder) as dsn, connect(dsn) as conn, suppress(UndefinedTable):
        found = own_log(conn)
        shard = None if found is None else shard_of(found[1])
        if shard is not None:
            return msgspec.structs.replace(settings, node=msgspec.structs.replace(settings.node, shard=shard))
    return settings


def _held(dsn: str, origin: str) -> int:
    """How many leaves of a log are held here."""
    with connect(dsn) as conn:
        tree = PostgresTrees(conn).trees([origin]).get(origin)
    return 0 if tree is None else tree.size


def _cosigned_by(folder: Path, key: Verifier) -> int:
    """The largest size of the own log that is kept with a cosignature by this very key."""
    with database_of(folder) as dsn, connect(dsn) as conn:
        trees = PostgresTrees(conn)
        return trees.cosigned_by(trees.own_log(), key)


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
