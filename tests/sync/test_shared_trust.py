"""The directory that everything in a process shares: what each part learns joins it, and is read once."""

import threading

import pytest

from sync.exchange.exchange import Trust
from sync.trust import statements
from sync.trust.certificates import Directory, fingerprint, make_root, read_request
from sync.trust.granting import enrol
from tests.sync.test_trust import CITY, COUNTY, FROM_US, OTHER_COUNTY, TO_US, Applicant


def city_and_its_root() -> tuple[Applicant, Directory]:
    city = Applicant(CITY, "city")
    text = make_root(read_request(city.request), city.signer, FROM_US, TO_US)
    return city, Directory(fingerprint(text)).adding(text)


def enrolled(city: Applicant, directory: Directory, applicant: Applicant) -> str:
    return enrol(applicant.request, city.division, city.signer, directory, FROM_US, TO_US)


def test_what_two_parts_learned_apart_is_trusted_together() -> None:
    city, root = city_and_its_root()
    trust = Trust(root, threading.Lock())
    one = root.adding(enrolled(city, root, Applicant(COUNTY, "county")))
    other = root.adding(enrolled(city, root, Applicant(OTHER_COUNTY, "county")))

    trust.publish(one)
    trust.publish(other)

    assert {*trust.directory.topology.parents} == {COUNTY, OTHER_COUNTY}


def test_of_what_is_published_only_the_new_certificates_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    city, root = city_and_its_root()
    known = root.adding(enrolled(city, root, Applicant(COUNTY, "county")))
    text = enrolled(city, known, Applicant(OTHER_COUNTY, "county"))
    grown = known.adding(text)
    trust = Trust(known, threading.Lock())
    read: list[str] = []
    really_read = statements.read_statement
    monkeypatch.setattr(statements, "read_statement", lambda text: read.append(text) or really_read(text))

    trust.publish(grown)

    assert trust.directory.division(OTHER_COUNTY)
    assert read == [text]
