"""The city of the demo as it lies on disk: one database server, a folder for every node and for the witness."""

import csv
import shutil
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import msgspec

from domain.divisions import Division, tier_of
from domain.divisions import division as valid_division
from gateway.accounts import AccountRole
from gateway.enrolling import enrol_child
from gateway.hosting import config, founding
from gateway.hosting.clock import SharedClock
from gateway.hosting.outside_witness import WitnessConfig, found_witness, write_config
from gateway.hosting.postgres_server import PostgresServer
from gateway.serving import NodeUnreachable, open_accounts
from sync.trust.keys import load_keys, replace_private

TRUST_DOMAIN = "demo.huiyin.example"
PASSWORD = "huiyin-demo-2026"  # noqa: S105  printed on the screen: these accounts open an invented city
ROLES: tuple[AccountRole, ...] = ("clerk", "handler", "leader", "supervisor", "auditor", "operator")

Tell = Callable[[str], None]


class Member(msgspec.Struct, frozen=True):
    """One node of the city. review_organ: who reviews its opinions. port: where it listens on loopback."""

    division: Division
    name: str
    parent: Division | None
    port: int
    review_organ: str = ""


class CityPlan(msgspec.Struct, frozen=True):
    """What the demo keeps of itself in `city.json`, the last thing written when it is founded."""

    members: tuple[Member, ...]
    witness_port: int


class City:
    """The folder of a demo, and what runs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.plan_file = self.folder / "city.json"
        self._inputs_file = self.folder / "inputs.json"
        self.server = PostgresServer(self.folder / "postgres")

    @property
    def plan(self) -> CityPlan:
        """The plan; NodeUnreachable where there is no city yet."""
        try:
            return msgspec.json.decode(self.plan_file.read_bytes(), type=CityPlan)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            raise NodeUnreachable(str(self.folder)) from None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The digests of the messages that are or were played here."""
        if not self._inputs_file.exists():
            return ()
        return msgspec.json.decode(self._inputs_file.read_bytes(), type=tuple[str, ...])

    def note_input(self, digest: str) -> None:
        """Return once it is on disk that these messages are played here."""
        if digest not in self.inputs:
            replace_private(self._inputs_file, msgspec.json.encode((*self.inputs, digest)))

    def node_folder(self, division: Division) -> Path:
        """Where one node lives."""
        return self.folder / "nodes" / division

    def url(self, member: Member) -> str:
        """Where one node is reached."""
        return f"http://127.0.0.1:{member.port}"

    def dsn(self, member: Member) -> str:
        """A node's database."""
        return self.server.dsn(f"node_{member.division}")


def found_city(city: City, start_us: int, tell: Tell, check: Callable[[], None]) -> SharedClock:
    """Every node's folder, keys, certificate, database and accounts, made once; an interrupted founding is taken up.

    start_us: what the city's clock shows when it is founded. check: asked between the steps; what it raises breaks
    the founding off. The database server runs.
    """
    clock = SharedClock(city.folder / "clock", start_us)
    if city.plan_file.exists():
        return clock
    members, witness_port = _members()
    tell(f"建立 {len(members)} 个节点 / founding {len(members)} nodes …")
    city.server.create_database("channel")
    witness = WitnessConfig(name=f"audit.{TRUST_DOMAIN}/witness", port=witness_port, clock=_clock_of(city))
    outside = _outside_witness(city, witness)
    for member in members:
        check()
        _found_node(city, member, members, outside, clock.now_us())
        tell(f"  {member.division} {member.name}")
    log_key = load_keys(city.node_folder(members[0].division) / founding.KEYS).log.verifier.vkey
    write_config(city.folder / "witness", msgspec.structs.replace(witness, logs=(log_key,)))

    def open_for(member: Member) -> None:
        check()
        _open_accounts(city, member)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(open_for, members))
    replace_private(city.plan_file, msgspec.json.encode(CityPlan(members, witness_port)))
    return clock


def _members() -> tuple[tuple[Member, ...], int]:
    """The nodes of the file that the package carries, superiors first, and the witness's port."""
    text = (files("gateway.demo") / "divisions.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    *ports, witness_port = _free_ports(len(rows) + 1)
    members = tuple(
        Member(
            valid_division(row["division"]),
            row["name"],
            valid_division(row["parent"]) if row["parent"] else None,
            port,
            row["review_organ"],
        )
        for row, port in zip(rows, ports, strict=True)
    )
    return members, witness_port


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _clock_of(city: City) -> config.ClockChoice:
    return config.ClockChoice(kind="shared", path=str(city.folder / "clock"))


def _outside_witness(city: City, witness: WitnessConfig) -> config.OutsideWitness:
    key_file = city.folder / "witness.vkey"
    if not key_file.exists():
        shutil.rmtree(city.folder / "witness", ignore_errors=True)
        key_file.write_text(found_witness(city.folder / "witness", witness), "utf-8")
    return config.OutsideWitness(url=f"http://127.0.0.1:{witness.port}", key=key_file.read_text("utf-8"))


def _found_node(
    city: City, member: Member, members: tuple[Member, ...], outside: config.OutsideWitness, now_us: int
) -> None:
    folder = city.node_folder(member.division)
    has_children = any(other.parent == member.division for other in members)
    channel = config.ChannelEnd(dsn=city.server.dsn("channel"))
    settings = config.NodeConfig(
        node=config.Identity(
            division=member.division,
            name=member.name,
            tier=tier_of(member.division),
            trust_domain=TRUST_DOMAIN,
            parent=member.parent,
            review_organ=member.review_organ,
        ),
        http=config.Http(port=member.port),
        database=config.Database(dsn=city.dsn(member)),
        channel=config.Channels(up=channel if member.parent else None, down=channel if has_children else None),
        clock=_clock_of(city),
        witness=outside if member.parent is None else None,
    )
    if (folder / founding.ENROLMENT).exists():
        config.write(folder, settings)  # an interrupted founding had other ports
        return
    shutil.rmtree(folder, ignore_errors=True)
    city.server.create_database(f"node_{member.division}")
    if member.parent is None:
        founding.found_root(folder, settings, now_us)
    else:
        request = founding.found(folder, settings)
        founding.install(folder, enrol_child(city.node_folder(member.parent), request))


def _open_accounts(city: City, member: Member) -> None:
    """One account for each role, and one for the confidential desk; all with the password that the demo prints."""
    logins: dict[str, tuple[AccountRole, bool]] = {role: (role, False) for role in ROLES}
    logins["discipline"] = ("leader", True)
    open_accounts(city.dsn(member), member.division, PASSWORD, logins)
