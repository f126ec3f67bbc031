"""What must be true of a world at rest: the judge, who knows only what was promised."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from itertools import chain, pairwise

import msgspec

from domain.case import CaseFile, evolve, has_effect, must_be_told
from domain.divisions import Division
from domain.events import AnyEvent, CaseId, EventId, KeyGranted, Unknown, decode, encode, read
from domain.parts import CustodyEvent
from domain.routing import addressees, file_receivers, key_receivers
from projections.catalogue import PROJECTIONS
from projections.rebuild import check
from sync.exchange.channel import down_lane
from sync.ledger.rows import FROM_ABOVE
from sync.sealed.custody import Erased, NotCustodian
from sync.sealed.sealing import SealBroken
from tests.world.machine import Machine
from tests.world.secrecy import kept_secret, keys_kept
from tests.world.world import World

Befell = set[tuple[str, str]]
"""Kinds of faults, and the nodes or lanes that they befell."""

EXPLAINED: Mapping[str, Callable[[World, Machine, str], Befell]] = {
    "bad_signature": lambda _, machine, lane: {("garbled", _lane(machine, lane))},
    "letter_forged": lambda _, machine, lane: {("garbled", _lane(machine, lane))},
    "wire_invalid": lambda _, machine, lane: {("garbled", _lane(machine, lane))},
    "lane_reset": lambda _, machine, lane: {("lane_anew", lane)},
    # What it had sent down before it was secured, and then lost, is known below alone.
    "enclosure_differs": lambda world, _, place: _restored(_named(world, place)),
    # A superior keeps what it said for 30 days from then, also where it was long on its way to who lost it again.
    "down_lost": lambda _, machine, down: _restored(machine.parent, machine),
    # Whose superior was restored to a time before it had certified somebody has that number of a certificate twice.
    "certificate_refused": lambda world, machine, place: _restored(*_line(_named(world, place) or machine)),
    "certified_twice": lambda world, machine, place: _restored(*_line(_named(world, place) or machine)),
    "certificate_set_aside": lambda world, machine, place: _restored(*_line(_named(world, place) or machine)),
}
"""Which faults may stand at the end, and what must have befallen that very lane or node (one of these)."""


def broken(world: World) -> list[str]:
    """Every promise that a world at rest does not keep, in words; empty where all are kept."""
    judges = (
        kept_secret,
        keys_kept,
        _acknowledged,
        _done_once,
        _replicated,
        _ordered,
        _cosigned,
        _sent_down,
        _settled,
        _agreed,
        _readable,
        _destroyed,
        _numbered,
        _rebuilt,
    )
    return [*world.broken, *chain.from_iterable(judge(world) for judge in judges)]


def _acknowledged(world: World) -> Iterator[str]:
    """Whatever was answered stands there, and nothing was done twice."""
    bodies = {division: Counter(row.body for row in m.log(m.origin)) for division, m in world.machines.items()}
    for (division, key), events in world.acknowledged.items():
        for event in events:
            times = bodies[division][encode(event)]
            if times > 1 or (times == 0 and encode(event) not in world.lost):
                yield f"{division} acknowledged {type(event).__name__} {event.id} by {key} and does not hold it once"


def _done_once(world: World) -> Iterator[str]:
    """Whatever people's commands have written is what they were answered: nothing was done on the side."""
    answered = {event.id for events in world.acknowledged.values() for event in events}
    for machine in world.machines.values():
        for row in machine.log(machine.origin):
            event = read(row.body)
            if not isinstance(event, Unknown) and event.actor.role != "system" and event.id not in answered:
                yield f"{machine.here} did {row.topic} {event.id} for nobody"


def _replicated(world: World) -> Iterator[str]:
    logs = {machine.origin: machine.log(machine.origin) for machine in world.machines.values()}
    for machine in world.machines.values():
        own = [row.body for row in logs[machine.origin]]
        for above in _line(machine)[1:]:
            replica = [row.body for row in above.log(machine.origin)]
            if own != replica:
                yield f"{above.here} holds {len(replica)} of {len(own)} leaves of {machine.here}, or others"
        rows = machine.tables.ledger.rows
        if len({(row.log_id, row.seq) for row in rows}) != len(rows):
            yield f"{machine.here} holds a leaf twice"
        origins = {log_id: origin for origin, log_id in machine.tables.logs.items()}
        for row in rows:
            author = logs[origins[row.log_id]]
            if row.seq >= len(author) or row.body != author[row.seq].body:
                if row.via == FROM_ABOVE and _restored(_named(world, origins[row.log_id])) & world.fate.befell:
                    continue  # see EXPLAINED, "enclosure_differs"
                yield f"{machine.here} holds other bytes of {origins[row.log_id]}#{row.seq}"


def _ordered(world: World) -> Iterator[str]:
    for machine in world.machines.values():
        rows, seen = machine.tables.ledger.rows, set[EventId]()
        if [row.pos for row in rows] != [*range(1, len(rows) + 1)]:
            yield f"{machine.here}: the positions have gaps"
        if any(later.known_us < row.known_us for row, later in pairwise(rows)):
            yield f"{machine.here}: what it knew when runs backwards"
        recorded_us: dict[int, int] = {}
        for row in rows:
            event = read(row.body)
            if isinstance(event, Unknown):
                continue
            for cause in event.cause:
                if cause.id not in seen and row.via != FROM_ABOVE:
                    yield f"{machine.here}: {row.topic} at {row.pos} stands before its cause"
            seen.add(event.id)
            if row.via != FROM_ABOVE:
                if event.recorded_us < recorded_us.get(row.log_id, 0):
                    yield f"{machine.here}: log {row.log_id} runs backwards at {row.seq}"
                recorded_us[row.log_id] = event.recorded_us


def _cosigned(world: World) -> Iterator[str]:
    for machine in world.machines.values():
        size = len(machine.log(machine.origin))
        for above in _line(machine)[1:]:
            cosigned = machine.exchange.cosigned_size(above.keys.witness.verifier.name)
            if cosigned != size:
                yield f"{above.here} has cosigned {cosigned} of {size} leaves of {machine.here}"


Held = Mapping[Division, Set[bytes]]
"""What stands in each node's ledger."""


def _sent_down(world: World) -> Iterator[str]:
    """By the rules of routing alone, whatever the dispatcher did."""
    held = {node: {row.body for row in machine.tables.ledger.rows} for node, machine in world.machines.items()}
    for machine in world.machines.values():
        yield from _owed_below(world, machine, held)


def _owed_below(world: World, machine: Machine, held: Held) -> Iterator[str]:
    topology = machine.situation(world.people.somebody(machine.here)).topology
    files: dict[CaseId, CaseFile | None] = {}
    told: dict[CaseId, list[AnyEvent]] = {}

    def is_due(event: AnyEvent, target: Division) -> bool:
        hop = topology.next_hop(machine.here, target)
        return event.node != hop and not topology.is_below(event.node, hop)

    for row in machine.tables.ledger.rows:
        event = read(row.body)
        if isinstance(event, Unknown) or event.case is None:
            continue
        counts = has_effect(files.get(event.case), event, row.seq)
        is_told = must_be_told(files.get(event.case), event, row.seq)
        files[event.case] = file = evolve(files.get(event.case), event, row.seq)
        earlier = told.setdefault(event.case, [])
        if is_told and file is not None:
            receivers = {to for to in file_receivers(event, machine.here, topology) if counts and is_due(event, to)}
            for target in addressees(file, event, machine.here, topology) | receivers:
                owed = [*earlier, event] if target in receivers else [event]
                yield from _missing(held[target], target, [one for one in owed if is_due(one, target)], machine)
            for target in key_receivers(event, machine.here, topology):
                if isinstance(event, KeyGranted):
                    same = [e for e in earlier if isinstance(e, CustodyEvent) and e.subject == event.subject]
                    yield from _missing(held[target], target, [one for one in same if is_due(one, target)], machine)
        if row.via != FROM_ABOVE:
            earlier.append(event)


def _missing(held: Set[bytes], target: Division, owed: list[AnyEvent], machine: Machine) -> Iterator[str]:
    for event in owed:
        if encode(event) not in held:
            yield f"{target} was owed {type(event).__name__} {event.id} of {event.node} by {machine.here}"


def _settled(world: World) -> Iterator[str]:
    for machine in world.machines.values():
        tables = machine.tables
        for (kind, subject), stands in tables.faults.items():
            if kind == "part_missing" and _is_erased(machine, subject):
                continue  # named, and the event that says why stands there too
            if stands.healed_us is None and not _is_explained(world, machine, kind, subject):
                yield f"{machine.here}: {kind} of {subject} stands: {stands.detail}"
        if tables.parked:
            yield f"{machine.here}: {len(tables.parked)} frames are parked"
        if tables.unread:
            yield f"{machine.here}: {len(tables.unread)} items were not read"
        for child, number in tables.down:
            if number > tables.children[child].down_acked:
                yield f"{machine.here}: {child} has not acknowledged letter {number}"


def _is_explained(world: World, machine: Machine, kind: str, subject: str) -> bool:
    explained = EXPLAINED.get(kind)
    return explained is not None and bool(explained(world, machine, subject) & world.fate.befell)


def _lane(machine: Machine, subject: str) -> str:
    """The lane by which something came: that of a child is named by the fault, and there is one from above."""
    return subject if subject.startswith("up.") else down_lane(machine.here)


def _restored(*machines: Machine | None) -> Befell:
    known = [machine.here for machine in machines if machine is not None]
    return {(kind, here) for kind in ("old_backup", "lost_flush") for here in known}


def _named(world: World, subject: str) -> Machine | None:
    """The node that is named, or in whose log the place is."""
    return next((machine for node, machine in world.machines.items() if node in subject), None)


def _is_erased(machine: Machine, part: str) -> bool:
    """Whether two persons, somewhere, have had the subject of a missing part destroyed."""
    log, _, place = part.partition("#")
    event = decode(machine.log(log)[int(place.partition(".")[0])].body)
    file = machine.casework.desk.file(event.case) if event.case else None
    subjects = {sealed.subject for sealed in event.sealed} | (
        {event.subject} if isinstance(event, KeyGranted) else set()
    )
    return _is_agreed(file, subjects)


def _is_agreed(file: CaseFile | None, subjects: Set[str]) -> bool:
    """Whether two persons have agreed that one of these subjects is destroyed."""
    erasures = file.erasures.values() if file else ()
    return any(one.confirmed is not None and one.ordered.subject in subjects for one in erasures)


def _agreed(world: World) -> Iterator[str]:
    """Whoever has a matter sees it as the city does, and the city sees one holder of each."""
    for case in world.city.cases():
        file = world.city.casework.desk.file(case)
        if file is None or file.registered is None:
            yield f"{case} has no registration at the city"
            continue
        leg = file.present_leg
        if leg is None:
            yield f"{case} has nobody who has it"
            continue
        if leg.opened is None:
            yield f"{case} was given to {leg.unit}, which has not opened it"
        below = world.machines[leg.node].casework.desk.file(case)
        if below is None or _essence(below) != _essence(file):
            yield f"{case} looks otherwise at {leg.node}, which has it, than at the city"


def _readable(world: World) -> Iterator[str]:
    """Whoever has a matter can read what was written when it was registered, unless that was erased."""
    for case in world.city.cases():
        file = world.city.casework.desk.file(case)
        if file is None or file.registered is None or file.present_leg is None:
            continue
        holder = world.machines[file.present_leg.node]
        for sealed in file.registered.sealed:
            try:
                holder.casework.custody.key(case, sealed.subject)
            except Erased:
                continue
            except SealBroken:
                yield f"{holder.here} has {case} and a key of it that opens nothing"
            except NotCustodian:
                # Whoever had the only key may have destroyed it by what it knew, while the matter was taken over.
                if not _is_agreed(holder.casework.desk.file(case), {sealed.subject}):
                    yield f"{holder.here} has {case} and cannot read what it is about"


def _destroyed(world: World) -> Iterator[str]:
    """Who has signed that a subject's keys and texts are gone holds none of them."""
    for machine in world.machines.values():
        for case in machine.cases():
            file = machine.casework.desk.file(case)
            for erasure in file.erasures.values() if file else ():
                if erasure.is_due and machine.here in erasure.destroyed_by:
                    yield from _left(machine, case, erasure.ordered.subject)


def _left(machine: Machine, case: CaseId, subject: str) -> Iterator[str]:
    for row in machine.tables.ledger.of_case(case):
        event = read(row.body)
        if isinstance(event, Unknown):
            continue
        parts = [part for part, sealed in enumerate(event.sealed) if sealed.subject == subject]
        if isinstance(event, KeyGranted) and event.subject == subject:
            parts += range(len(event.grants))
        if any((row.log_id, row.seq, part) in machine.tables.beside for part in parts):
            yield f"{machine.here} has signed that {subject} was destroyed and holds some of it"


def _numbered(world: World) -> Iterator[str]:
    """No number of a paper was given twice."""
    for machine in world.machines.values():
        events = (read(row.body) for row in machine.log(machine.origin))
        numbers = Counter(number for event in events if (number := getattr(event, "number", None)))
        for number, times in numbers.items():
            if times > 1:
                yield f"{machine.here} gave the number {number} {times} times"


def _essence(file: CaseFile) -> object:
    leg = file.present_leg
    return (
        msgspec.structs.replace(leg, moved_version=0) if leg else None,
        file.claims,
        file.standing_objection,
        file.is_ended,
        file.withdrawn,
        sorted(str(paper) for paper in file.served if paper in file.papers),  # the others have no effect
    )


def _rebuilt(world: World) -> Iterator[str]:
    """Every view is what the ledger makes of it, and nothing waits in one."""
    for machine in world.machines.values():
        for key in machine.views.parked():
            yield f"{machine.here}: {key.projection} has parked {key.key}: {key.reason}"
        for projection in PROJECTIONS:
            found = check(machine.views, machine.reader.read, projection)
            if found.difference is not None or found.pos != len(machine.tables.ledger.rows):
                yield f"{machine.here}: {projection.name} at {found.pos} is not its rebuild: {found.difference}"


def _line(machine: Machine) -> list[Machine]:
    """The node and its superiors."""
    return [machine, *(_line(machine.parent) if machine.parent else [])]
