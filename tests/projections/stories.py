"""Cases written as events, and a ledger on a real database to read them from."""

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any
from uuid import UUID, uuid5

import msgspec
import psycopg

from domain import events
from domain.clocks import day_start_us
from domain.divisions import Division
from domain.ids import REST_BITS, new_id
from sync.ledger.rows import Row

CITY, COUNTY, TOWN, VILLAGE = (
    Division(code) for code in ("410200000000", "410221000000", "410221100000", "410221100201")
)
OFFICE = f"{TOWN}.office"
WATER = f"{COUNTY}.water"
BUREAU = f"{CITY}.bureau"
NAMES = UUID(int=0)
HOUR_US = 3_600_000_000
START_US = day_start_us(date(2026, 3, 2)) + 9 * HOUR_US


def an_id(*parts: object, by: str = OFFICE) -> UUID:
    """Always the same id for the same words, made by the node of a unit."""
    chance = uuid5(NAMES, "/".join(map(str, parts))).int
    return new_id(Division(by[:12]), chance >> 80, chance & (1 << REST_BITS) - 1)


_OPENING = (events.Registered, events.TakenOver, events.OrderIssued)
"""Their streams bear their ids."""


class Story:
    """One case as its writers tell it; each step adds an event an hour after the last."""

    def __init__(self, name: str, start_us: int = START_US) -> None:
        self.name = name
        self.case = events.CaseId(an_id(name))
        self.now_us = start_us
        self.told: list[events.AnyEvent] = []
        self._versions: dict[UUID, int] = {}
        self._named_by: dict[int, str] = {}

    def leg(self, number: int) -> events.LegId:
        """Its id is made by whoever names it."""
        return events.LegId(an_id(self.name, "leg", number, by=self._named_by.get(number, OFFICE)))

    def version_of(self, stream: UUID) -> int:
        return self._versions.get(stream, 0)

    def claim(self, number: int) -> events.ClaimId:
        return events.ClaimId(an_id(self.name, "claim", number))

    def tell(self, shape: Callable[..., Any], by: str, stream: UUID, /, **fields: Any) -> Any:
        """Add one event written by unit `by`. at: when it happened, if not now."""
        self.now_us += HOUR_US
        version = self._versions[stream] = self._versions.get(stream, 0) + 1
        event = shape(
            id=stream if shape in _OPENING else an_id(self.name, "event", sum(self._versions.values()), by=by),
            stream=stream,
            version=version,
            case=fields.pop("case", self.case),
            node=by[:12],
            actor=events.Actor(account=an_id("clerk"), role="clerk", unit=by),
            occurred_us=fields.pop("at", self.now_us),
            recorded_us=self.now_us,
            cause=(),
            law=None,
            sealed=(),
            **fields,
        )
        self.told.append(event)
        return event

    def take(self) -> list[events.AnyEvent]:
        """What was told since the last time."""
        told, self.told = self.told, []
        return told

    def registered(self, unit: str = OFFICE, claims: int = 1, **fields: Any) -> "Story":
        defaults: dict[str, Any] = {
            "number": f"{self.name}-1",
            "channel": "visit",
            "matter_class": "claim_petition",
            "category": "010203",
            "issue_region": VILLAGE,
            "received_on": date(2026, 3, 2),
            "person_count": 1,
        }
        named = tuple(self.claim(number) for number in range(claims))
        self.case = events.CaseId(an_id(self.name, by=unit))
        self._named_by[1] = unit
        self.tell(events.Registered, unit, self.case, unit=unit, claims=named, **(defaults | fields))
        return self.opened(1, unit, mode="registered")

    def opened(self, leg_number: int, unit: str, mode: str, **fields: Any) -> "Story":
        defaults = {"from_leg": self.leg(leg_number - 1) if leg_number > 1 else None, "sender": None, "report_by": None}
        leg = self.leg(leg_number)
        self.tell(events.LegOpened, unit, leg, leg=leg, unit=unit, mode=mode, **(defaults | fields))
        return self

    def handed_over(self, leg_number: int, unit: str, to: str, mode: str = "transfer", **fields: Any) -> "Story":
        leg = self.leg(leg_number)
        self._named_by[leg_number + 1] = unit
        defaults = {"report_by": None, "next_leg": self.leg(leg_number + 1)}
        self.tell(events.HandedOver, unit, leg, leg=leg, to=to, mode=mode, **(defaults | fields))
        return self

    def accepted(self, leg_number: int, unit: str, claims: Sequence[int] = (0,), **fields: Any) -> "Story":
        leg, named = self.leg(leg_number), tuple(map(self.claim, claims))
        defaults = {"kind": "substantive", "number": "受-1"}
        self.tell(events.Accepted, unit, leg, leg=leg, claims=named, **(defaults | fields))
        return self

    def closed(self, leg_number: int, unit: str, claims: Sequence[int] = (0,), **fields: Any) -> "Story":
        leg, named = self.leg(leg_number), tuple(map(self.claim, claims))
        self.tell(events.Closed, unit, leg, leg=leg, ending="opinion", claims=named, **fields)
        return self

    def rated(self, unit: str = OFFICE, **fields: Any) -> "Story":
        self.tell(events.Rated, unit, self.case, office="satisfied", unit="dissatisfied", **fields)
        return self


class Ledger:
    """The ledger table of one node, written straight, as its writer would."""

    def __init__(self, dsn: str) -> None:
        self.conn = psycopg.connect(dsn, autocommit=True)
        self._columns = ", ".join(Row._fields)

    def append(self, told: Iterable[events.AnyEvent | bytes], *, log_id: int = 1, known_us: int | None = None) -> int:
        """Learn events, each when it was recorded if not told; bytes are an unreadable body. Returns the last pos."""
        (pos,) = self.conn.execute("select coalesce(max(pos), 0) from ledger").fetchone() or (0,)
        with self.conn.cursor() as cursor, cursor.copy(f"copy ledger ({self._columns}) from stdin") as copy:
            for event in told:
                pos += 1
                copy.write_row(_row(pos, log_id, event, known_us))
        return int(pos)

    def read(self, after_pos: int, limit: int) -> list[Row]:
        rows = self.conn.cursor(binary=True).execute(
            f"select {self._columns} from ledger where pos > %s order by pos limit %s", (after_pos, limit)
        )
        return [Row(*row) for row in rows]

    def read_case(self, case_id: UUID) -> list[Row]:
        rows = self.conn.cursor(binary=True).execute(
            f"select {self._columns} from ledger where case_id = %s order by pos", (case_id,)
        )
        return [Row(*row) for row in rows]

    def wait_beyond(self, pos: int, timeout_s: float) -> int:
        return pos


class MemoryLedger:
    """The same in memory."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def append(self, told: Iterable[events.AnyEvent | bytes], *, log_id: int = 1, known_us: int | None = None) -> int:
        """See Ledger."""
        for event in told:
            self.rows.append(_row(len(self.rows) + 1, log_id, event, known_us))
        return len(self.rows)

    def read(self, after_pos: int, limit: int) -> list[Row]:
        return self.rows[after_pos : after_pos + limit]


def _row(pos: int, log_id: int, event: events.AnyEvent | bytes, known_us: int | None) -> Row:
    via = 0 if log_id == 1 else 1
    if isinstance(event, bytes):
        named = msgspec.json.decode(event, type=dict[str, Any]) if event.startswith(b"{") else {}
        topic = named.get("type", "?")
        return Row(pos, log_id, pos, via, UUID(int=0), pos, topic, None, event, bytes(32), known_us or pos)
    known_us = event.recorded_us if known_us is None else known_us
    body = events.encode(event)
    return Row(
        pos, log_id, pos, via, event.stream, event.version, events.tag_of(event), event.case, body, bytes(32), known_us
    )


def a_busy_office(chance: random.Random, cases: int) -> list[events.AnyEvent]:
    """The events of many cases, mixed as they would be learned: each case in its own order."""
    stories = [_a_life(chance, Story(f"{chance.random()}", START_US + number * HOUR_US)) for number in range(cases)]
    mixed: list[events.AnyEvent] = []
    waiting = [story.take()[::-1] for story in stories]
    while waiting:
        pick = chance.randrange(min(len(waiting), 8))
        mixed.append(waiting[pick].pop())
        waiting = [told for told in waiting if told]
    return mixed


def _a_life(chance: random.Random, story: Story) -> Story:
    """Some lawful and some odd things that happen to a case."""
    story.registered(unit := chance.choice([OFFICE, WATER]), claims=chance.randint(1, 3))
    leg = 1
    for _ in range(chance.randint(0, 6)):
        match chance.randrange(8):
            case 0:
                to = chance.choice([OFFICE, WATER, BUREAU])
                story.handed_over(leg, unit, to).opened(leg + 1, to, mode="transfer")
                leg, unit = leg + 1, to
            case 1:
                story.accepted(leg, unit, at=story.now_us - chance.randrange(50) * HOUR_US)
            case 2:
                story.closed(leg, unit, range(chance.randint(1, 3)))
            case 3:
                story.rated()
            case 4:
                story.tell(
                    events.ClaimAmended, unit, story.case, claim=story.claim(chance.randrange(5)), change="added"
                )
            case 5:
                story.closed(chance.randint(1, leg), OFFICE)
            case 6:
                taken = events.LegId(an_id(story.name, "taken", len(story.told), by=BUREAU))
                seen = story.version_of(story.leg(leg))
                fields = {"leg_version": seen, "last_log": f"x/{unit[:12]}/1", "last_size": 3, "unit": BUREAU}
                story.tell(events.TakenOver, BUREAU, taken, leg=story.leg(leg), next_leg=taken, **fields)
            case 7:
                _fight(chance, story, leg, unit)
    return story


def _fight(chance: random.Random, story: Story, leg: int, unit: str) -> None:
    """The holder objects; the one who has to rule, or a stranger, gives the matter to somebody or leaves it."""
    sender, ruler = chance.choice([OFFICE, WATER]), [TOWN, COUNTY][len(story.name) % 2]
    on = {"leg": story.leg(leg)}
    raised = story.tell(events.Objected, unit, story.leg(leg), **on, proposed=None, sender=sender, ruler=ruler)
    told = {"objection": raised.id, "leg_version": 1, "agreed": True, "by": "sender", "holder": sender, **on}
    by = f"{chance.choice([ruler, CITY])}.office"
    next_leg = chance.choice([None, events.LegId(an_id(story.name, "ruled", raised.id, by=by))])
    story.tell(events.ObjectionRuled, by, an_id("ruling", raised.id, by=by), **told, next_leg=next_leg)
