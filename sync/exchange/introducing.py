"""Who stands where, told downward: every certificate reaches every node, so that each can seal to any other.

A denunciation is sealed where it is typed, to the organ that manages the official, and that organ mostly stands on
another line. A directory of organs alone would not do: which organ it is follows from where the official's office
was enrolled. So all certificates travel, about 1 KB each, 3 MB in a city of 3,000 nodes, once to each.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from domain.divisions import Division, Topology
from sync.exchange.station import Station
from sync.exchange.wire import FRAME_BYTES, Introduction, Item
from sync.trust.certificates import Directory
from sync.trust.statements import Revocation, read_statement

INTRODUCED: Final = "exchange.introduced"
"""Number of the certificate up to which every child is told what it does not know."""

LETTER_CERTIFICATES: Final = 200
"""So many make a letter of about 200 KB."""


class Learned(NamedTuple):
    """A certificate and its number: how many became known here up to it."""

    num: int
    text: str


class IntroducingStore(Protocol):
    """One transaction over the certificates and the downward sequences."""

    def claim(self, name: str) -> int:
        """How far this was done, 0 at first; nobody else moves it before this commits."""

    def move(self, name: str, pos: int) -> None:
        """Keep how far it has come."""

    def certificates_between(self, after: int, upto: int | None, limit: int | None) -> list[Learned]:
        """Those with a number beyond `after`, and at most `upto` where that is given, in order."""

    def enqueue(self, child: Division, items: Sequence[Item], now_us: int) -> None:
        """The next number of the child's downward sequence."""


def introduce(store: IntroducingStore, station: Station, directory: Directory, now_us: int) -> bool:
    """Tell every child of the next certificates that became known here; whether there were any.

    A child that was just enrolled is told of all that were known before it. What it signed, or one below it, came from
    it. What is stored but not believed any more (see `starting.believed`) goes to nobody.
    """
    done = store.claim(INTRODUCED)
    new = store.certificates_between(done, None, LETTER_CERTIFICATES)
    if not new:
        return False
    known, missing = directory.adding_what_holds(learned.text for learned in new)
    if missing:  # what they rest on may be stored, and not be everybody's knowledge yet
        stored = store.certificates_between(0, new[-1].num, None)
        known, _ = directory.adding_what_holds(learned.text for learned in stored)
    issuers = known.issuers()
    enrolled = {read_statement(text).division for _, text in new if text in issuers}
    for child in sorted(code for code, parent in known.topology.parents.items() if parent == station.here):
        before = store.certificates_between(0, done, None) if child in enrolled else []
        for letter in _letters([text for _, text in [*before, *new]], child, issuers, known.topology):
            store.enqueue(child, [Introduction(letter)], now_us)
    store.move(INTRODUCED, new[-1].num)
    return True


def introductions(store: IntroducingStore, directory: Directory) -> list[Item]:
    """Every certificate that is believed, in the order in which they became known."""
    issuers = directory.issuers()
    texts = [text for _, text in store.certificates_between(0, None, None) if text in issuers]
    runs = range(0, len(texts), LETTER_CERTIFICATES)
    return [Introduction(texts[at : at + LETTER_CERTIFICATES]) for at in runs]


def _letters(
    known: Sequence[str], child: Division, issuers: Mapping[str, Division], topology: Topology
) -> Iterator[list[str]]:
    """Of those that are believed, what did not come from the child: what it or one below it signed did.

    Its own certificates it is handed; that its keys were taken back it is told.
    """
    letter: list[str] = []
    for text in known:
        said = read_statement(text) if text in issuers and child not in topology.path_up(issuers[text]) else None
        if said is None or (said.division == child and not isinstance(said, Revocation)):
            continue
        if len(letter) == LETTER_CERTIFICATES or sum(map(len, letter)) + len(text) > FRAME_BYTES:
            yield letter
            letter = []
        letter.append(text)
    if letter:
        yield letter
