"""What must hold of two offices whenever they have come to rest, whatever died before."""

import time
from collections import Counter
from typing import Any, NamedTuple
from uuid import uuid4

import httpx2
import msgspec

from domain.events import AnyEvent, encode
from gateway.rebuilding import rebuild
from sync.proofs.merkle import leaf_hash
from tests.crash.offices import COUNTY, READY_S, VILLAGE, Lost, Name, Offices

NODES: tuple[Name, ...] = ("county", "village")
DIVISIONS = {"county": COUNTY, "village": VILLAGE}


class Acknowledged(NamedTuple):
    """A command, under its key, and what its node answered first."""

    name: Name
    role: str
    command: dict[str, Any]
    key: str
    answer: dict[str, Any]


class History:
    """What was acknowledged so far and what every log held, against which the next state is checked."""

    def __init__(self, offices: Offices) -> None:
        self._offices = offices
        self._acknowledged: list[Acknowledged] = []
        self._repeated = 0
        self._logs: dict[Name, list[bytes]] = {name: [] for name in NODES}
        self.checked: Counter[str] = Counter()
        """How much of each kind was compared."""

    def give(self, name: Name, role: str, command: dict[str, Any]) -> dict[str, Any]:
        """Have a command carried out; what is answered stands from now on."""
        key = str(uuid4())
        answer = self._offices.give(name, role, command, key)
        self._acknowledged.append(Acknowledged(name, role, command, key, answer))
        return answer

    def settle(self) -> None:
        """Return once nothing is on its way and nothing waits to be attended to."""
        give_up = time.monotonic() + READY_S
        calm = 0
        while calm < 2:
            waits = self._what_waits()
            calm = 0 if waits else calm + 1
            if time.monotonic() > give_up:
                raise Lost(f"never at rest: {waits}; {self._offices.last_words()}")
            time.sleep(0.05)

    def _what_waits(self) -> list[str]:
        found = []
        for name in NODES:
            try:
                status = httpx2.get(f"{self._offices.services[name].url}/api/status", timeout=10)
                said = status.raise_for_status().json()
            except httpx2.HTTPError as error:
                return [f"{name}: {error}"]
            with self._offices.database(name) as conn:
                ((behind,),) = conn.execute("select (select pos from head) - (select pos from web.steward)").fetchall()
                query = "select count(*) from child where division = %s and down_acked < down_size"
                ((down,),) = conn.execute(query, (VILLAGE,)).fetchall()
            waiting = {"lag": said["lag"], "views": said["projection_lag"], "steward": behind, "down": down}
            found += [f"{name} {what} {count}" for what, count in waiting.items() if count]
        return found

    def check(self) -> None:
        """At rest: everything that was acknowledged or once recorded is there, once, the same, at both; views agree."""
        self.settle()
        ledgers = {name: self._ledger(name) for name in NODES}
        for name in NODES:
            self._nothing_is_taken_back(name, ledgers[name])
            self._nothing_is_there_twice(name, ledgers[name])
            self._nobody_is_suspected(name)
            self._views_equal_their_rebuild(name)
        assert self._own("village", at="county") == self._logs["village"], "the superior holds the village's log"
        self._acknowledged_is_there(ledgers)
        self._repeats_are_answered_as_before()

    def _ledger(self, name: Name) -> list[bytes]:
        with self._offices.database(name) as conn:
            return [bytes(body) for (body,) in conn.execute("select body from ledger order by pos")]

    def _own(self, name: Name, at: Name) -> list[bytes]:
        """What a node has signed, shard after shard, as one of both holds it."""
        query = (
            "select origin, seq, body from ledger join log on log.id = log_id where origin like %s"
            " order by split_part(origin, '/', 3)::int, seq"
        )
        with self._offices.database(at) as conn:
            rows = conn.execute(query, (f"%/{DIVISIONS[name]}/%",)).fetchall()
        for shard in {origin for origin, _, _ in rows}:
            places = [seq for origin, seq, _ in rows if origin == shard]
            assert places == list(range(len(places))), f"{shard} has no gap at {at}"
        return [bytes(body) for _, _, body in rows]

    def _nothing_is_taken_back(self, name: Name, ledger: list[bytes]) -> None:
        own, before = self._own(name, at=name), self._logs[name]
        assert own[: len(before)] == before, f"{name} holds what it held"
        self._logs[name] = own
        self.checked["leaves kept"] += len(before)

    def _nothing_is_there_twice(self, name: Name, ledger: list[bytes]) -> None:
        bodies = [msgspec.json.decode(body) for body in ledger]
        for what in ("id", "number"):
            twice = [one for one, n in Counter(body[what] for body in bodies if body.get(what)).items() if n > 1]
            assert twice == [], f"{name} holds an event or a paper number twice"
        self.checked["events once"] += len(bodies)

    def _nobody_is_suspected(self, name: Name) -> None:
        with self._offices.database(name) as conn:
            stand = conn.execute("select kind, subject, detail from fault where healed_us is null").fetchall()
        assert stand == [], f"no fault stands at {name}"

    def _views_equal_their_rebuild(self, name: Name) -> None:
        said: list[str] = []
        code = rebuild(self._offices.folder / name, None, check_only=True, tell=said.append)
        assert code == 0, said
        self.checked["views equal their rebuild"] += len(said)

    def _acknowledged_is_there(self, ledgers: dict[Name, list[bytes]]) -> None:
        held = {name: Counter(map(leaf_hash, ledger)) for name, ledger in ledgers.items()}
        for one in self._acknowledged:
            events = msgspec.json.decode(msgspec.json.encode(one.answer["events"]), type=list[AnyEvent])
            tiers: tuple[Name, ...] = ("village", "county") if one.name == "village" else ("county",)
            for event in events:
                for tier in tiers:
                    assert held[tier][leaf_hash(encode(event))] == 1, f"acknowledged by {one.name}, not once at {tier}"
            self.checked["acknowledged events found"] += len(events) * len(tiers)

    def _repeats_are_answered_as_before(self) -> None:
        """What was acknowledged since the last look, sent once more."""
        for one in self._acknowledged[self._repeated :]:
            again = self._offices.give(one.name, one.role, one.command, one.key)
            assert again["events"] == one.answer["events"], "a repeat is answered as the first time"
            self.checked["repeats answered as before"] += 1
        self._repeated = len(self._acknowledged)
