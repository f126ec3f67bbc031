"""What the exchange must find beside an own event: whom a sealed item is for, the certificate of an enrolment."""

from collections.abc import Sequence
from typing import Final, LiteralString
from uuid import UUID

import msgspec

from domain.divisions import Division
from sync.trust.statements import read_statement

KEEP_CERTIFICATE: Final[LiteralString] = (
    "insert into certificate (division, serial, body, num)"
    " select %s::text, %s::int, %s::text, coalesce(max(num), 0) + 1 from certificate"
    " on conflict (division, serial) do update set body = excluded.body, num = excluded.num"
    " where certificate.body <> excluded.body"
)


class ForOrganBelow(msgspec.Struct, frozen=True):
    """Say for which organ below the own sealed item of this stream is; no event does."""

    stream: UUID
    organ: Division

    def statement(self) -> tuple[LiteralString, Sequence[object]]:
        """One row."""
        return "insert into onward (stream, division) values (%s, %s)", (self.stream, self.organ)


class CertificateKept(msgspec.Struct, frozen=True):
    """Keep the certificate or the revocation that the event of the append carries."""

    text: str

    def statement(self) -> tuple[LiteralString, Sequence[object]]:
        """One row, in place of one with its number that did not hold."""
        said = read_statement(self.text)
        return KEEP_CERTIFICATE, (said.division, said.serial, self.text)
