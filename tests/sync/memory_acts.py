"""What is done beside events, in memory: every act that an append of a node can bring along."""

from collections.abc import Iterator

from domain.events import CaseId, KeyGranted, NotCanonical, Unknown, read
from gateway.casework.head_notes import HeadsNotedUpTo
from gateway.casework.numbers import NumberGiven
from sync.exchange.acts import CertificateKept, ForOrganBelow
from sync.exchange.store import NotStorable
from sync.ledger.append import Act
from sync.sealed.acts import Destruction, Excuse, PartsBeside
from sync.trust.statements import read_statement
from tests.sync.memory_links import MemoryLinks
from tests.sync.memory_tables import Tables


def carry_out(act: Act, tables: Tables) -> None:
    """Raises NotStorable."""
    match act:
        case PartsBeside():
            _keep_parts(act, tables)
        case Destruction(case=case, subject=subject):
            for place in _of_subject(case, subject, tables):
                if place in tables.beside:
                    del tables.beside[place]
        case Excuse():
            _excuse(act, tables)
        case ForOrganBelow(stream=stream, organ=organ):
            if stream in tables.onward:
                raise NotStorable("that stream is for an organ already")
            tables.onward[stream] = organ
        case CertificateKept(text=text):
            certificate = read_statement(text)
            MemoryLinks(tables).keep_certificate(certificate.division, certificate.serial, text)
        case NumberGiven(kind=kind, year=year, count=count):
            tables.numbers[kind, year] = max(tables.numbers.get((kind, year), 0), count)
        case HeadsNotedUpTo(pos=pos):
            tables.steward["noted_pos"] = pos
        case _:
            raise TypeError(f"nobody knows how to do {act} in memory")


def _keep_parts(act: PartsBeside, tables: Tables) -> None:
    row = tables.ledger.own(act.stream, act.version)
    if row is None:
        return
    for part, body in enumerate(act.parts):
        if (row.log_id, row.seq, part) in tables.beside:
            raise NotStorable("that part is there already")
        tables.beside[row.log_id, row.seq, part] = body


def _excuse(act: Excuse, tables: Tables) -> None:
    origins = {log_id: origin for origin, log_id in tables.logs.items()}
    for log_id, seq, part in _of_subject(act.case, act.subject, tables):
        key = ("part_missing", f"{origins[log_id]}#{seq}.{part}")
        stands = tables.faults.get(key)
        if stands is not None and stands.healed_us is None:
            tables.faults[key] = stands._replace(healed_us=act.now_us)


def _of_subject(case: CaseId, subject: str, tables: Tables) -> Iterator[tuple[int, int, int]]:
    """Where the wrapped keys and the sealed texts of a subject lie, or would."""
    for row in tables.ledger.of_case(case):
        try:
            event = read(row.body)
        except NotCanonical:
            continue
        if isinstance(event, Unknown):
            continue
        parts = [part for part, sealed in enumerate(event.sealed) if sealed.subject == subject]
        if isinstance(event, KeyGranted) and event.subject == subject:
            parts = list(range(len(event.grants)))
        for part in parts:
            yield row.log_id, row.seq, part
