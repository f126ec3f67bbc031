"""The refusals that a command tells in one line and without a traceback, wherever they come from."""

from domain.errors import DomainError
from gateway.config import ConfigInvalid
from gateway.demo.messages import InputInvalid
from gateway.demo.player import DemoFailed
from gateway.enrolling import EnrolmentUnanswered, RequestRefused
from gateway.founding import FolderTaken, NotEnrolled
from gateway.node import FolderInUse
from gateway.postgres_server import PostgresServerError
from gateway.serving import NodeUnreachable
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
    ReceiptInvalid,
    RequestRefused,
)
