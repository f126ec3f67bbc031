"""A superior's side from the command line, whether its node is running or not: enrolment, and keys taken back."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway.casework.orders import Move, TakeBack
from gateway.hosting.databases import database_of
from gateway.node import FolderInUse, Node
from sync.ledger.connections import connect
from sync.trust.certificates import Enrolment, read_request
from sync.trust.enrolment import read_enrolment

WAIT_S = 30.0

T = TypeVar("T")


class EnrolmentUnanswered(RuntimeError):
    """The running node did not sign the request in time. Look at its log; the request waits there."""

    def __init__(self) -> None:
        super().__init__(
            "运行中的节点未在时限内签发，请查看其日志后重试 / "
            "the running node did not sign in time; look at its log and retry"
        )


def enrol_child(folder: Path, request: str) -> Enrolment:
    """Sign the request of a direct subordinate of the node in `folder`: a running node does it itself.

    Raises CertificateRefused, AlreadyEnrolled, NotEnrolled, EnrolmentUnanswered.
    """
    read_request(request)
    return done_by(folder, lambda node: node.admit(request), lambda: read_enrolment(ask_running(folder, request)))


def take_back(folder: Path, order: TakeBack) -> str:
    """Take back the keys of a subordinate of the node in `folder`, which does it itself where it runs; what says so.

    Raises CertificateRefused, NotEnrolled, EnrolmentUnanswered.
    """
    return done_by(folder, lambda node: node.take_back(order), lambda: ask_running(folder, _text(order)).decode())


def move(folder: Path, order: Move) -> Enrolment:
    """Place a node elsewhere below the node in `folder`; what to carry to it. A running node does it itself.

    Raises CertificateRefused, NotEnrolled, EnrolmentUnanswered.
    """
    return done_by(folder, lambda node: node.move(order), lambda: read_enrolment(ask_running(folder, _text(order))))


def _text(order: TakeBack | Move) -> str:
    return msgspec.json.encode(order).decode()


def done_by(folder: Path, here: Callable[[Node], T], there: Callable[[], T]) -> T:
    """What the node of the folder does, opened for it; or, where it runs, what its process is asked to do."""
    try:
        node = Node(folder)
    except FolderInUse:
        return there()
    try:
        node.open()
        return here(node)
    finally:
        node.stop()


def ask_running(folder: Path, request: str) -> bytes:
    """The running node's answer to what is left in its database, so that nobody writes beside its one writer.

    Raises RequestRefused, EnrolmentUnanswered.
    """
    with database_of(folder) as dsn:
        return _wait_for_answer(dsn, request)


def _wait_for_answer(dsn: str, request: str) -> bytes:
    with connect(dsn, autocommit=True) as conn:
        conn.execute("insert into web.enrolling (request) values (%s) on conflict do nothing", (request,))
        give_up = time.monotonic() + WAIT_S
        while time.monotonic() < give_up:
            row = conn.execute("select bundle, refusal from web.enrolling where request = %s", (request,)).fetchone()
            if row is not None and (row[0] is not None or row[1] is not None):
                conn.execute("delete from web.enrolling where request = %s", (request,))
                if row[1] is not None:
                    raise RequestRefused(row[1])
                return bytes(row[0])
            time.sleep(0.1)
    raise EnrolmentUnanswered


class RequestRefused(RuntimeError):
    """The running node refused the request, in the words it gave. Correct it and ask again."""
