"""What a command tells in one line and without a traceback, wherever it comes from."""

import errno

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
from sync.trust.escrow import PassphraseWrong
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
    PassphraseWrong,
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


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def told(error: BaseException) -> str | None:
    """What is wrong and what to do next, Chinese first; None for a fault of the program, which shows its traceback."""
    match error:
        case psycopg.errors.UndefinedTable():
            return (
                "数据库中还没有节点的数据，请先启动一次节点 / "
                "the database does not hold a node yet; start the node once"
            )
        case psycopg.errors.DiskFull():
            return _no_room("数据库", "the database", error)
        case psycopg.OperationalError():
            said = str(error).strip().partition("\n")[0]
            return (
                f"数据库无法连接，请确认数据库已启动且 database.dsn 正确（{said}） / "
                f"the database cannot be reached; see that it runs and that database.dsn is right ({said})"
            )
        case _ if isinstance(error, NAMED):
            return str(error)
        case OSError() if error.errno in _NO_ROOM:
            return _no_room(error.filename or "文件", error.filename or "a file", error)
        case OSError() if error.filename is not None:
            return (
                f"{error.filename}：无法读取或写入，请检查路径和权限（{error.strerror}） / "
                f"{error.filename}: cannot be read or written; check the path and its rights ({error.strerror})"
            )
    return None


def _no_room(zh: str, en: str, error: BaseException) -> str:
    """What was being written was left out or taken away again, and the same command may be repeated."""
    said = error.strerror if isinstance(error, OSError) else str(error).strip().partition("\n")[0]
    return (
        f"{zh}：磁盘空间不足，没有写入，请腾出空间后重试（{said}） / "
        f"{en}: the disk has no room and nothing was written; make room, then give the command again ({said})"
    )
