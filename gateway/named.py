"""What a command tells in one line and without a traceback, wherever it comes from."""

import psycopg

from domain.errors import DomainError
from gateway.demo.messages import InputInvalid
from gateway.demo.player import DemoFailed
from gateway.enrolling import EnrolmentUnanswered, RequestRefused
from gateway.hosting.config import ConfigInvalid
from gateway.hosting.founding import (
    BundleInvalid,
    ChannelNeeded,
    FolderTaken,
    NotEnrolled,
    RootNotRenewed,
    RotatedLately,
)
from gateway.hosting.postgres_server import PostgresServerError
from gateway.known_policies import KnownPoliciesUnreadable
from gateway.node import FolderInUse
from gateway.rebuilding import ViewUnknown
from gateway.serving import NodeUnreachable, PortUnusable
from projections.views import RebuildBusy
from sync.ledger.append import LedgerError
from sync.ledger.migrations import MigrationRefused
from sync.proofs.note import KeyInvalid, NoteInvalid
from sync.proofs.policy import PolicyInvalid
from sync.proofs.receipt import ReceiptInvalid
from sync.trust.certificates import CertificateRefused
from sync.trust.keys import KeyFileRefused

NAMED: tuple[type[Exception], ...] = (
    BundleInvalid,
    CertificateRefused,
    ChannelNeeded,
    ConfigInvalid,
    DemoFailed,
    DomainError,
    EnrolmentUnanswered,
    FolderInUse,
    FolderTaken,
    InputInvalid,
    KeyFileRefused,
    KeyInvalid,
    KnownPoliciesUnreadable,
    LedgerError,
    MigrationRefused,
    NodeUnreachable,
    NotEnrolled,
    NoteInvalid,
    PolicyInvalid,
    PortUnusable,
    PostgresServerError,
    RebuildBusy,
    ReceiptInvalid,
    RequestRefused,
    RootNotRenewed,
    RotatedLately,
    ViewUnknown,
)


def told(error: BaseException) -> str | None:
    """What is wrong and what to do next, Chinese first; None for a fault of the program, which shows its traceback."""
    match error:
        case psycopg.errors.UndefinedTable():
            return (
                "数据库中还没有节点的数据，请先启动一次节点 / "
                "the database does not hold a node yet; start the node once"
            )
        case psycopg.OperationalError():
            said = str(error).strip().partition("\n")[0]
            return (
                f"数据库无法连接，请确认数据库已启动且 database.dsn 正确（{said}） / "
                f"the database cannot be reached; see that it runs and that database.dsn is right ({said})"
            )
        case _ if isinstance(error, NAMED):
            return str(error)
        case OSError() if error.filename is not None:
            return (
                f"{error.filename}：无法读取或写入，请检查路径和权限（{error.strerror}） / "
                f"{error.filename}: cannot be read or written; check the path and its rights ({error.strerror})"
            )
    return None
