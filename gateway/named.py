"""The refusals that a command tells in one line and without a traceback, wherever they come from."""

import psycopg

from domain.errors import DomainError
from gateway.config import ConfigInvalid
from gateway.demo.messages import InputInvalid
from gateway.demo.player import DemoFailed
from gateway.enrolling import EnrolmentUnanswered, RequestRefused
from gateway.founding import FolderTaken, NotEnrolled
from gateway.node import FolderInUse
from gateway.postgres_server import PostgresServerError
from gateway.rebuilding import ViewUnknown
from gateway.serving import NodeUnreachable
from projections.rebuild import RebuildBusy
from sync.keys import KeyFileRefused
from sync.migrations import MigrationRefused
from sync.note import KeyInvalid, NoteInvalid
from sync.policy import PolicyInvalid
from sync.receipt import ReceiptInvalid
from sync.trust import CertificateRefused

NAMED: tuple[type[Exception], ...] = (
    CertificateRefused,
    ConfigInvalid,
    DemoFailed,
    DomainError,
    EnrolmentUnanswered,
    FolderInUse,
    FolderTaken,
    InputInvalid,
    KeyFileRefused,
    KeyInvalid,
    MigrationRefused,
    NodeUnreachable,
    NotEnrolled,
    NoteInvalid,
    PolicyInvalid,
    PostgresServerError,
    RebuildBusy,
    ReceiptInvalid,
    RequestRefused,
    ViewUnknown,
    psycopg.OperationalError,
)


def sentence_of(refusal: Exception) -> str:
    """What is told of one of NAMED: Chinese first, what to do next, and of the database driver one line only."""
    if not isinstance(refusal, psycopg.OperationalError):
        return str(refusal)
    said = str(refusal).partition("\n")[0]
    return (
        "数据库无法连接，请启动数据库或改正 node.toml 中的 dsn 后重试 / "
        f"the database cannot be reached; start it, or correct its dsn in node.toml, and retry: {said}"
    )
