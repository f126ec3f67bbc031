"""How long, how early and how many: what every field of a stored event keeps to, whoever wrote it.

Bytes that go beyond are no event (`events.read`), so nothing behind that door meets a text no index holds or a time
no calendar counts from. Whatever a command accepts lies within; the shapes of both are compared by a test.
"""

from datetime import date
from typing import Annotated, Final

from msgspec import Meta

from domain.divisions import Division

EARLIEST: Final = date(1949, 10, 1)
LATEST: Final = date(2199, 12, 31)

_SECOND_US: Final = 1_000_000
_DAY_US: Final = 86_400 * _SECOND_US
_CHINA_US: Final = 8 * 3_600 * _SECOND_US
_EPOCH: Final = date(1970, 1, 1)

EARLIEST_US: Final = (EARLIEST - _EPOCH).days * _DAY_US - _CHINA_US
"""UTC microseconds at which EARLIEST begins in China."""

LATEST_US: Final = (LATEST - _EPOCH).days * _DAY_US - _CHINA_US
"""UTC microseconds at which LATEST begins in China."""

InstantUs = Annotated[int, Meta(ge=EARLIEST_US, lt=LATEST_US + _DAY_US)]
"""UTC microseconds since 1970, to the end of LATEST."""

Version = Annotated[int, Meta(ge=1, lt=2**31)]
"""A 1-based position in a stream."""

VersionSeen = Annotated[int, Meta(ge=0, lt=2**31)]
"""A stream's last version, 0 where none of it was seen."""

Size = Annotated[int, Meta(ge=0, le=2**62)]
"""How many leaves a log has, or the index of one."""

Origin = Annotated[str, Meta(pattern=r"\A[!-*,-~]{1,200}\Z")]
"""The name of a log, as a C2SP checkpoint can carry it."""

Code = Annotated[Division, Meta(pattern=r"^[0-9]{12}(?!\n)$")]
"""The 12 digits of a division; whether there is one is for the directory to say."""

AuthorCode = Annotated[Division, Meta(min_length=12, max_length=12)]
"""The author's own, which the name of its log repeats and a receiver compares: only its length is looked at here."""

Category = Annotated[str, Meta(pattern=r"^[0-9]{6}(?!\n)$")]
"""A category of matters, six digits."""

Line = Annotated[str, Meta(min_length=1, max_length=200)]
"""A short text in clear: an article, a name, the number of a paper."""

Digest = Annotated[str, Meta(min_length=44, max_length=44)]
"""32 bytes in base64."""

Subject = Annotated[str, Meta(min_length=32, max_length=32)]
"""The pseudonym of one person's file in one case, see `keys.new_subject`."""

SealedPath = Annotated[str, Meta(min_length=1, max_length=100)]
"""Where in the sealed bytes a text stands, such as `claim.<id>`."""

KeyName = Annotated[str, Meta(min_length=1, max_length=100)]
"""The id of a public key."""

CertificateText = Annotated[str, Meta(max_length=8_192)]

STATEMENT_CHARS: Final = 48_000
"""So long is a text that takes keys back and names all that they had signed and that stands."""

StatementText = Annotated[str, Meta(max_length=STATEMENT_CHARS)]

SigningKey = Annotated[str, Meta(min_length=1, max_length=300)]
"""A C2SP vkey: the name, the id and the public half of a signing key."""

Note = Annotated[str, Meta(max_length=8_192)]
"""A C2SP signed note."""

PersonCount = Annotated[int, Meta(ge=1, le=100_000)]
ExtraDays = Annotated[int, Meta(ge=1, le=30)]
SizeBytes = Annotated[int, Meta(ge=0, le=2**40)]
Year = Annotated[int, Meta(ge=EARLIEST.year, le=LATEST.year)]
Edition = Annotated[int, Meta(ge=0, lt=2**31)]

FEW: Final = Meta(max_length=100)
"""Causes, sealed parts and the texts in one: an event has a handful."""

MANY: Final = Meta(max_length=1_000)
"""Claims, readings, heads: as many as a leaf has room for."""


def keep_within(*days: date | None) -> None:
    """ValueError for a day outside EARLIEST to LATEST, which msgspec has no bounds for; null is no day."""
    for day in days:
        if day is not None and not EARLIEST <= day <= LATEST:
            raise ValueError(f"no day between {EARLIEST} and {LATEST}: {day}")
