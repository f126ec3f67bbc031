"""A city of real processes as these tests see it: addresses, command line, databases read from outside."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx2
import psycopg

from domain.clocks import shanghai_date
from domain.divisions import Division
from gateway.demo.city import PASSWORD, City, Member
from gateway.demo.ending import Ending
from gateway.demo.keeper import Keeper
from gateway.demo.player import Desks, Place, play
from gateway.demo.story import Act, Recorded, Story
from gateway.hosting.clock import SharedClock
from gateway.hosting.status import NodeStatus, Statuses

SETTLE_S = 240.0
NOT_BY_CHANCE = "topic not in ('node.heads.v0', 'sealed.item.v0')"
"""SQL: what people did; how often a node notes heads and writes decoys depends on when."""


def huiyin(*words: str, said: str = "", limit_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """The command line, as a person types it. said: what it reads from standard input."""
    command = [sys.executable, "-m", "gateway", *words]
    return subprocess.run(command, input=said, capture_output=True, text=True, timeout=limit_s, check=False)


class Answered(NamedTuple):
    """An act and what its node acknowledged."""

    act: Act
    command_id: UUID
    recorded: Recorded


class Listening(Desks):
    """Desks that remember every acknowledgement they were given."""

    def __init__(self, places: dict[Division, Place]) -> None:
        super().__init__(places, PASSWORD)
        self.answered: list[Answered] = []

    def perform(self, act: Act, command_id: UUID) -> Recorded:
        recorded = super().perform(act, command_id)
        self.answered.append(Answered(act, command_id, recorded))
        return recorded


class Leaf(NamedTuple):
    """One event as a node holds it."""

    origin: str
    seq: int
    body: bytes


class Sizes(NamedTuple):
    """own: events a node wrote; ledger: all that it knows. Not counted: what comes by chance."""

    own: int
    ledger: int


class Living:
    """A city whose nodes run."""

    def __init__(self, city: City, clock: SharedClock) -> None:
        self.city = city
        self.clock = clock
        self.members: dict[Division, Member] = {member.division: member for member in city.plan.members}
        self._http = httpx2.Client(timeout=5.0)

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def above(self, division: Division) -> list[Division]:
        """The superiors of a node, the nearest first."""
        parent = self.members[division].parent
        return [parent, *self.above(parent)] if parent else []

    def below(self, division: Division) -> list[Division]:
        """Every node that answers to this one."""
        return [one for one in self.members if division in self.above(one)]

    def tier(self, tiers_above: int) -> list[Division]:
        """The nodes with so many superiors: 0 the city, 3 the villages."""
        return [one for one in self.members if len(self.above(one)) == tiers_above]

    def folder(self, division: Division) -> Path:
        """A node's folder."""
        return self.city.node_folder(division)

    def today(self) -> str:
        """The date on the city's clock, in China."""
        return shanghai_date(self.clock.now_us()).isoformat()

    # --- through the front door

    def url(self, division: Division, path: str = "") -> str:
        """A node's address."""
        return self.city.url(self.members[division]) + path

    def visitor(self, division: Division) -> httpx2.Client:
        """Somebody without an account."""
        return httpx2.Client(base_url=self.url(division), timeout=30.0)

    @contextmanager
    def person(self, division: Division, role: str) -> Iterator["Person"]:
        """Somebody signed in at a node."""
        with self.visitor(division) as http:
            answer = http.post("/api/login", json={"username": role, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            http.headers["authorization"] = f"Bearer {answer.json()['token']}"
            yield Person(http)

    def status(self) -> list[NodeStatus]:
        """Every node's own word. Raises httpx2.HTTPError while one does not answer."""
        answers = [self._http.get(self.url(division, "/api/status")).raise_for_status() for division in self.members]
        return [Statuses.decode(answer.content) for answer in answers]

    def settle(self) -> list[NodeStatus]:
        """Wait until everything is cosigned by the one above and shown by the views; every node's word then."""
        give_up = time.monotonic() + SETTLE_S
        calm = 0
        while True:
            try:
                nodes = self.status()
            except httpx2.HTTPError:
                nodes = []
            calm = calm + 1 if nodes and all(one.lag == one.projection_lag == 0 for one in nodes) else 0
            if calm == 2:
                return nodes
            assert time.monotonic() < give_up, nodes
            time.sleep(0.2)

    def play(self, stories: Iterable[tuple[str, int, Story]]) -> list[Answered]:
        """Play them to their end against the running nodes; every acknowledgement that was given."""
        desks = self.desks()
        try:
            play(stories, desks, self.clock, lambda *_: None, threading.Event())
        finally:
            desks.close()
        return desks.answered

    def desks(self) -> Listening:
        """The desks of all nodes."""
        return Listening({division: Place(self.url(division)) for division in self.members})

    # --- from behind: what lies in the databases

    def rows(self, division: Division, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query finds in a node's database."""
        with psycopg.connect(self.city.dsn(self.members[division])) as conn:
            return conn.execute(query, values).fetchall()

    def sizes(self) -> dict[Division, Sizes]:
        """How much every node wrote and knows."""
        query = f"select count(*) filter (where via = 0), count(*) from ledger where {NOT_BY_CHANCE}"
        return {one: Sizes(*self.rows(one, query)[0]) for one in self.members}

    def origin(self, division: Division) -> str:
        """The name of a node's log."""
        return str(self.rows(division, "select origin from log where id = 1")[0][0])

    def log(self, origin: str, at: Division) -> list[Leaf]:
        """The events of a log as the node `at` holds them, in the order in which it learned them."""
        query = "select origin, seq, body from ledger join log on log.id = log_id where origin = %s order by pos"
        return [Leaf(*row) for row in self.rows(at, query, origin)]

    def differing_logs(self) -> list[str]:
        """The logs with a gap, and those that a superior holds with other events, in another order, or twice."""
        found = []
        for division in self.members:
            origin = self.origin(division)
            own = self.log(origin, at=division)
            if [leaf.seq for leaf in own] != list(range(len(own))):
                found.append(f"{division} has gaps")
            found += [f"{division} at {one}" for one in self.above(division) if self.log(origin, at=one) != own]
        return found

    def topics(self, division: Division, after: int) -> Counter[str]:
        """How many events of each kind a node learned beyond a position, apart from those by chance."""
        query = f"select topic from ledger where pos > %s and {NOT_BY_CHANCE}"
        return Counter(topic for (topic,) in self.rows(division, query, after))

    def position(self, division: Division) -> int:
        """How far a node's ledger goes."""
        return int(self.rows(division, "select pos from head")[0][0])


class Person(NamedTuple):
    """Somebody signed in."""

    http: httpx2.Client

    def get(self, path: str, **query: Any) -> Any:
        """What a question is answered."""
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def give(self, command: dict[str, Any], key: UUID | None = None) -> httpx2.Response:
        """Send a command under a key of its own."""
        return self.http.post("/api/commands", json=command, headers={"Idempotency-Key": str(key or uuid4())})


def registration(division: Division, title: str, day: str) -> dict[str, Any]:
    """A command that registers a small matter."""
    return {
        "command": "register",
        "channel": "visit",
        "matter_class": "claim_petition",
        "category": "010500",
        "issue_region": division,
        "received_on": day,
        "petitioner": {"name": "试验人"},
        "title": title,
        "body": f"{title}，请予处理。",
        "claims": [{"claim": str(uuid4()), "text": title}],
    }


@contextmanager
def keep(city: City, clock: SharedClock, told: list[str]) -> Iterator[Living]:
    """Every process of the city, alive inside the block. told: what the keeper says meanwhile."""
    living = Living(city, clock)
    with Keeper(city, told.append, Ending()):
        try:
            yield living
        finally:
            living.close()
