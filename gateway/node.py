"""The composition root: one node, built from its folder, and everything that runs in it."""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import Any, Literal, LiteralString
from uuid import UUID

import msgspec
import psycopg
import structlog
from prometheus_client import CollectorRegistry

from domain.context import Envelope
from domain.divisions import Division
from domain.events import (
    AnyEvent,
    ChildEnrolled,
    EscrowFounded,
    KeysRevoked,
    KeysRotated,
    NodeMoved,
    NodeOpened,
    ShardOpened,
    Unit,
    UnitOpened,
    Unknown,
    encode,
    read,
    tag_of,
)
from domain.ids import maker_of
from domain.shards import shard_of
from gateway import accounts
from gateway.backup.probation import Probation
from gateway.backup.restore import ask_before_writing
from gateway.backup.restored import Restored, mark_of, set_mark, take_mark_away
from gateway.casework.casework import Casework, Given
from gateway.casework.escrow_office import EscrowOffice
from gateway.casework.journal import Journal
from gateway.casework.orders import Move, TakeBack, carry_out
from gateway.casework.store_postgres import PostgresCasework, skip_numbers_of_shards
from gateway.hosting import config, founding, logs
from gateway.hosting.clock import HeldClock, SharedClock
from gateway.hosting.clock_watch import ClockWatch
from gateway.hosting.config import NodeConfig
from gateway.hosting.databases import NODE_DATABASE, SERVER_FOLDER
from gateway.hosting.ids import Ids
from gateway.hosting.links import Links
from gateway.hosting.machine_clock import MachineClock
from gateway.hosting.postgres_server import PostgresServer, PostgresServerError
from gateway.hosting.status import NodeStatus
from gateway.hosting.surroundings import OFFICE
from gateway.hosting.trouble import TROUBLE
from projections.catalogue import PROJECTIONS
from projections.runner import Runner
from sync.exchange.acts import CertificateKept
from sync.exchange.outside import PUT_BACK
from sync.exchange.succession import End
from sync.ledger.append import Append, Appended, LedgerError, NewEvent
from sync.ledger.connections import connect, open_pool
from sync.ledger.migrations import migrate
from sync.ledger.reader import Reader, Tip, own_log, register_log
from sync.ledger.writer import Writer
from sync.proofs.note import Note, named, sign_note
from sync.sealed.custody_postgres import PostgresCases
from sync.trust.certificates import Enrolment, read_certificate
from sync.trust.keys import NodeKeys, SigningKeys, destroy_former
from sync.trust.statements import read_statement

POOL_SIZE = 6
DATABASE_LOOK_S = 1.0
CLOCK_LOOK_S = 1.0
_FRESH_S = 2.0
_WAIT_S = 60.0
_log = structlog.get_logger("node")


class FolderInUse(RuntimeError):
    """Another process runs what is in this folder. Stop it first, or use that one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} 已在另一进程中运行，请勿重复启动 / {folder} is running in another process; do not start it twice"
        )


class LedgerOutdated(LedgerError):
    """The ledger was begun by an earlier program, whose ids did not name their node. Found the node anew."""

    code = "ledger_outdated"

    def __init__(self) -> None:
        super().__init__(
            "账本由早期版本建立，其编号不含节点，本版本不认可其中的事件，请重新建立节点",
            "the ledger was begun by an earlier program whose ids do not name their node, so nothing in it has effect "
            "here; found the node anew",
        )


class Node:
    """One running node. Made by `build`, started and stopped by whoever serves it.

    `failed` is set when a part of it met a fault that it cannot mend, and `failure` names it: whoever serves the node
    then ends the process, and a service manager starts it again from what is on disk.
    """

    def __init__(self, folder: Path, machine: MachineClock | None = None) -> None:
        """Read the folder and take hold of it. Raises ConfigInvalid, NotEnrolled, KeyFileRefused, FolderInUse.

        machine: the clock of a node that runs on its machine's, where it is not to be this one's.
        """
        self.folder = folder
        self.config: NodeConfig = config.load(folder)
        config.require_links(self.config)
        self.here: Division = self.config.node.division
        self.ids = Ids(self.here)
        self.failed = threading.Event()
        self.failure: str | None = None
        self.metrics = CollectorRegistry()
        self._enrolment = founding.enrolment(folder)
        self._keys: NodeKeys = founding.keys_of(folder)
        self._resources = ExitStack()
        self._server: PostgresServer | None = None
        self._admitting = threading.Lock()
        self._threads: list[tuple[threading.Thread, Callable[[], None]]] = []
        self._resources.callback(hold_folder(folder))
        is_shared = self.config.clock.kind == "shared"
        self._machine = None if is_shared else machine or MachineClock()
        self.clock: HeldClock = self._machine or HeldClock(SharedClock(Path(self.config.clock.path)))

    # --- life -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Bring the database up to date and take over as its writer; nothing follows the ledger yet."""
        try:
            self._build()
            if not self.probation.is_on:
                self._log_opening()
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        """Open, and start everything that follows the ledger; after a restore, only once the superior agrees."""
        self.open()
        stopping = threading.Event()
        if self._server is not None:
            server, ending = self._server, threading.Event()
            self._thread("database", lambda: _keep_alive(server, ending), ending.set)
        if self.watch is not None:
            watch, unwatched = self.watch, threading.Event()
            self._thread("clock", lambda: _keep_watch(watch, unwatched), unwatched.set)
        self.views.prepare()  # their tables are there before the first question
        self._thread("projections", lambda: self.views.run(stopping), stopping.set)
        if self.probation.is_on:
            self.links.seal_all()
            self.links.start(self.fail, may_send=False)
            over = threading.Event()
            self._thread("probation", lambda: self._await_superior(over), over.set)
        else:
            self._go()

    def _await_superior(self, stopping: threading.Event) -> None:
        while not stopping.wait(0.2):
            if not self.probation.is_on:
                self.links.stop()
                self._log_opening()
                self._go()
                return

    def _go(self) -> None:
        self._thread("steward", self.steward.run, self.steward.stop)
        self.links.start(self.fail)

    def stop(self) -> None:
        """Stop what follows the ledger, write what waits, let everything go. Safe to call twice."""
        if hasattr(self, "links"):
            self.links.stop()
        for _, stop in self._threads:
            stop()
        for thread, _ in self._threads:
            thread.join(timeout=20)
        self._threads.clear()
        self._resources.close()

    def _build(self) -> None:
        dsn = self.dsn = self._database()
        migrate(dsn)
        accounts.prepare(dsn)
        self.pool = open_pool(dsn, "node", POOL_SIZE, autocommit=True)
        self._resources.callback(self.pool.close)
        self.own_log = self._find_own_log()
        tip = Tip()
        self.writer = Writer(
            dsn, self.own_log, self.clock.now_us, tip, on_failure=lambda error: self.fail("writer", error)
        )
        self.writer.start()
        self._resources.callback(self.writer.close)
        self.reader = Reader(dsn, tip)
        self._resources.callback(self.reader.close)
        self.journal = Journal(self.clock, self.append, self._keys.commands)
        self.links = Links(self.folder, self.config, self._enrolment, self._keys, dsn, self.writer, self.clock)
        self._resources.callback(self.links.close)
        self._require_own_ids()
        self._set_clock()
        if self.links.is_alone and self._keys.former is not None and self.clock.doubt() is None:
            destroy_former(self.folder / founding.KEYS, self._keys.log.verifier.vkey)
        is_restored = mark_of(self.folder) is not None or self._is_put_back() or self._begin_regaining()
        self.probation = Probation(is_restored, self._agreed, self.links.standing)
        self._work()

    def _is_put_back(self) -> bool:
        """Whether the database lacks what had left the node; then it is treated as one from a backup."""
        fault = self.links.put_back()
        if fault is None:
            return False
        head = self.reader.head()
        with self.pool.connection() as conn, conn.transaction():
            ask_before_writing(conn, head.recorded_us)
        self.links.fault(fault)
        set_mark(self.folder, Restored(head.recorded_us, head.pos, head.own_size))
        self.links.is_asking_anew()
        _log.warning("database put back", pos=head.pos, own_size=head.own_size)
        return True

    def _agreed(self) -> None:
        self.links.heal(PUT_BACK, [self.config.origin])
        take_mark_away(self.folder)

    def _begin_regaining(self) -> bool:
        """Whether this node lost its disk and is still being given back what its superior holds."""
        if self.links.begin_regaining(os.urandom(16)):
            with self.pool.connection() as conn:
                skip_numbers_of_shards(conn, self.config.node.shard, self.clock.now_us())
        return self.links.exchange.has_lost_all()

    def _find_own_log(self) -> int:
        """The id of the log that is written: once a later shard was begun, the configuration goes on as of that one."""
        own = self.config.node
        with self.pool.connection() as conn:
            found = own_log(conn)
            if found is None:
                return register_log(conn, self.config.origin, self.here, own.shard)
        written = msgspec.structs.replace(own, shard=shard_of(found[1]) or own.shard)
        self.config = msgspec.structs.replace(self.config, node=written)
        return found[0]

    def _set_clock(self) -> None:
        """Not behind the last process, whose clock may have been ahead; a machine's clock has to be borne out."""
        self.watch: ClockWatch | None = None
        if self._machine is None:
            self.clock.hold(self.reader.head().recorded_us)
            return
        self.watch = ClockWatch(
            self.folder, self._machine, lambda: self.reader.head().recorded_us, self.links.cosigned_us
        )
        self.watch.begin()

    def _work(self) -> None:
        given = Given(
            self.here,
            self.config.origin,
            self._keys,
            self.ids,
            self.journal,
            self.reader,
            PostgresCases(self.pool.connection),
            PostgresCasework(self.pool.connection),
            self.links.store,
            self.links.directory,
            self.links.proof,
            self.links,
            lambda asked: carry_out(asked, self.admit, self.take_back, self.move, self._open_escrow),
            lambda: self.escrow.forget_stale(),
            time.monotonic,
            os.urandom,
            SystemRandom().random,
            TROUBLE,
        )
        work = self.casework = Casework(given, threading.Event())
        self.around, self.files, self.desk, self.readings = work.around, work.files, work.desk, work.readings
        self.receipts, self.denunciations, self.cover = work.receipts, work.denunciations, work.cover
        self.custody, self.steward = work.custody, work.steward
        self.escrow = EscrowOffice(
            self.here,
            self.folder,
            self.ids,
            self.journal,
            self.files,
            self.reader,
            PostgresCases(self.pool.connection),
            work.around.recipient,
        )
        self.views = Runner(self._connected, self.reader.read, self.reader.wait_beyond, PROJECTIONS, _views_stopped)

    def _open_escrow(self, order: UUID) -> str:
        return self.escrow.open_waiting(order)

    def _connected(self) -> psycopg.Connection[Any]:
        return connect(self.dsn, autocommit=True)

    def _database(self) -> str:
        if self.config.database.dsn:
            return self.config.database.dsn
        server = PostgresServer(self.folder / SERVER_FOLDER)
        server.start()
        self._resources.callback(server.stop)
        server.create_database(NODE_DATABASE)
        self._server = server
        return server.dsn(NODE_DATABASE)

    def _thread(self, name: str, run: Callable[[], None], stop: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                run()
            except Exception as error:
                self.fail(name, error)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append((thread, stop))
        thread.start()

    def fail(self, part: str, error: BaseException) -> None:
        """A part has met what it cannot mend: say so, stop being ready, and have the process ended."""
        reason = str(error) if isinstance(error, LedgerError | PostgresServerError) else type(error).__name__
        _log.error("stopped", part=part, reason=reason, frames=logs.frames(error))
        self.failure = f"{part}: {reason}"
        self.failed.set()

    def _require_own_ids(self) -> None:
        """Raises LedgerOutdated. The first event of every ledger is its node's own."""
        first = self.reader.read(0, 1)
        event = read(first[0].body) if first else None
        if event is not None and not isinstance(event, Unknown) and maker_of(event.id) != event.node:
            raise LedgerOutdated

    def _log_opening(self) -> None:
        """The first leaves of a new log: who this is, and its first office; of a later shard: what it goes on from."""
        if self.reader.head().own_size:
            return
        end = self.links.opening()
        with self.journal.turn() as turn:
            events = self._first_events(turn.now_us) if end is None else [self._shard_opened(turn.now_us, end)]
            new = [NewEvent(event.stream, event.version, tag_of(event), None, encode(event)) for event in events]
            future = turn.append(Append(new))
        future.result(_WAIT_S)

    def _first_events(self, now_us: int) -> list[AnyEvent]:
        """At the root also who opens the escrow."""
        name, parent = self.config.node.name, self.config.node.parent
        officers = founding.officers(self.folder)
        opened, office, escrow = (self._own_envelope(now_us) for _ in range(3))
        events: list[AnyEvent] = [
            NodeOpened(**opened, origin=self.config.origin, name=name, parent=parent),
            UnitOpened(**office, unit=self.office, name=name),
        ]
        if officers is not None:
            events.append(EscrowFounded(**escrow, key=officers.key, first=officers.first, second=officers.second))
        return events

    def _shard_opened(self, now_us: int, end: End) -> AnyEvent:
        """A shard that the certificate names is written under other keys: the disk was lost with the old ones."""
        origin = self.config.origin
        why: Literal["year", "lost"] = "lost" if self.around.directory().is_named(origin) else "year"
        return ShardOpened(**self._own_envelope(now_us), origin=origin, why=why, **msgspec.structs.asdict(end))

    def append(self, append: Append) -> "Future[Appended]":
        """Append by the one writer. Raises AwaitingSuperior, SuperiorKnowsMore, and as `Writer.append`."""
        self.probation.require_over()
        return self.writer.append(append)

    def await_views(self, pos: int) -> None:
        """Return once the views show what was recorded at `pos`, or after two seconds: a page shows what it did."""
        self.views.wait_for(pos, _FRESH_S)

    def _own_envelope(self, now_us: int) -> Envelope:
        return self.casework.own_envelope(now_us)

    # --- what the rest of the gateway asks ------------------------------------------------------------------------

    @property
    def office(self) -> Unit:
        """The unit that every node has."""
        return f"{self.here}.{OFFICE}"

    @property
    def log_key(self) -> str:
        """The C2SP vkey of the log that is written now, which an outside witness has to know."""
        return named(self._keys.log, self.config.origin).verifier.vkey

    def sign(self, text: str) -> Note:
        """What this node says beside its log, such as what a file consists of, signed with the log's key. text: opens
        with a line that no checkpoint opens with."""
        return sign_note(text, named(self._keys.log, self.config.origin))

    def policy(self) -> str:
        """The published tlog-policy of this node's log, as its superior or the root has signed it, if one has."""
        return self.links.published().text

    def certificate(self) -> str:
        """The certificates from the root down to this node, one after the other."""
        return "\n".join(self.around.directory().chain(self.here))

    def admit(self, request: str) -> Enrolment:
        """Enrol a direct subordinate, whose certificate becomes an event of this node; what it has to install.

        Raises CertificateRefused, AlreadyEnrolled, ClockInDoubt, and while the node is on probation, as `append`.
        """
        self.probation.require_over()

        def record(text: str) -> str:
            certificate = read_certificate(text)
            command_id = self.journal.of_node(f"enrol/{certificate.division}/{certificate.serial}")
            digest = self.journal.digest(command_id, request.encode())
            with self.journal.turn() as turn:
                event = ChildEnrolled(
                    **self._own_envelope(turn.now_us),
                    division=certificate.division,
                    name=certificate.name,
                    certificate=text,
                )
                new = NewEvent(event.stream, event.version, tag_of(event), None, encode(event))
                future = turn.append(Append([new], command_id, digest, text.encode(), [CertificateKept(text)]))
            return future.result(_WAIT_S).result.decode()

        with self._admitting:
            return self.links.admit(request, founding.VALIDITY_US, record)

    def take_back(self, order: TakeBack) -> str:
        """Take back the keys of a direct subordinate, which becomes an event of this node; the text that says so.

        Raises CertificateRefused, ClockInDoubt, and while the node is on probation, as `append`.
        """
        self.probation.require_over()

        def record(text: str) -> str:
            said = read_statement(text)
            command_id = self.journal.of_node(f"take back/{said.division}/{said.serial}")
            with self.journal.turn() as turn:
                event = KeysRevoked(**self._own_envelope(turn.now_us), division=said.division, revocation=text)
                new = NewEvent(event.stream, event.version, tag_of(event), None, encode(event))
                future = turn.append(Append([new], command_id, b"", text.encode(), [CertificateKept(text)]))
            return future.result(_WAIT_S).result.decode()

        with self._admitting:
            return self.links.take_back(order.division, order.ground, order.successor, order.size, record)

    def move(self, order: Move) -> Enrolment:
        """Place a node elsewhere below this one, which becomes an event of this node; what it has to install.

        Raises CertificateRefused, ClockInDoubt, and while the node is on probation, as `append`.
        """
        self.probation.require_over()

        def record(text: str) -> str:
            said = read_certificate(text)
            command_id = self.journal.of_node(f"move/{said.division}/{said.serial}")
            with self.journal.turn() as turn:
                envelope = self._own_envelope(turn.now_us)
                event = NodeMoved(
                    **envelope, division=said.division, name=said.name, parent=order.parent, certificate=text
                )
                new = NewEvent(event.stream, event.version, tag_of(event), None, encode(event))
                future = turn.append(Append([new], command_id, b"", text.encode(), [CertificateKept(text)]))
            return future.result(_WAIT_S).result.decode()

        with self._admitting:
            return self.links.move(order.division, order.parent, founding.VALIDITY_US, record)

    def record_rotation(self, keys: SigningKeys) -> int:
        """Log, once, that these keys follow those in force; the size of the log from which on they sign it alone.

        No smaller than any shard before, which those in force have signed to its end.
        """
        log, witness, intake = keys.vkeys
        command_id = self.journal.of_node(f"rotate/{log}")
        with self.journal.turn() as turn:
            event = KeysRotated(**self._own_envelope(turn.now_us), log=log, witness=witness, intake=intake)
            new = NewEvent(event.stream, event.version, tag_of(event), None, encode(event))
            future = turn.append(Append([new], command_id))
        query: LiteralString = "select coalesce(max(size), 0) from tree join log on log.id = log_id where division = %b"
        ((ended,),) = self.reader.fetch(query + " and log_id <> %b", (self.here, self.own_log))
        return max(future.result(_WAIT_S).seqs[0] + 1, int(ended))

    def status(self) -> NodeStatus:
        """How the node is now."""
        stands = self.links.status()
        with self.pool.connection() as conn:
            shown = min((progress.pos for progress in self.views.progress(conn)), default=0)
        identity = self.config.node
        return NodeStatus(
            division=self.here,
            tier=identity.tier,
            name=identity.name,
            url=self.config.url,
            parent=identity.parent,
            log_size=stands.log_size,
            ledger_size=stands.ledger_size,
            cosigned_size=stands.cosigned_size,
            lag=self.links.lag(stands),
            quarantined=stands.open_faults,
            projection_lag=max(0, stands.ledger_size - shown),
            clock_doubt=doubt.kind if (doubt := self.clock.doubt()) else None,
            clock_skew_s=self.links.clock_skew_s(),
            certificate_ends_us=self._certificate_ends_us(),
            secured_size=self.links.secured_size(),
            witnesses=self.links.witnesses(),
            policy_is_outdated=self.links.published().is_outdated,
        )

    def _certificate_ends_us(self) -> int:
        """Told where it is time to renew it; 0 before."""
        own = self.links.directory().division(self.here)
        return founding.told_us(own.certificate.valid_to_us, self.clock.now_us()) if own else 0


def _keep_alive(server: PostgresServer, stopping: threading.Event) -> None:
    """The node brought its database along, so nobody else starts it again when it dies. Raises PostgresServerError."""
    while not stopping.wait(DATABASE_LOOK_S):
        if not server.answers():
            _log.warning("database does not answer, started again")
            server.start()


def _views_stopped(reason: str, pos: int, error: BaseException) -> None:
    _log.error("views_stopped", reason=reason, pos=pos, frames=logs.frames(error))


def _keep_watch(watch: ClockWatch, stopping: threading.Event) -> None:
    while not stopping.wait(CLOCK_LOOK_S):
        with suppress(*TROUBLE):  # said by whoever needs the database more
            watch.look()


def hold_folder(folder: Path) -> Callable[[], None]:
    """Lock the folder for this process; the kernel lets go of it however the process ends."""
    lock = (folder / "node.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise FolderInUse(folder) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock.close


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder is this process's inside the block. Raises FolderInUse."""
    release = hold_folder(folder)
    try:
        yield
    finally:
        release()
