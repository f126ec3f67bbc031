"""A node's own policy: drafted from its configuration, signed above, published; what does not fit is refused."""

import re
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from domain.divisions import Division, tier_of
from gateway.hosting import config, founding, policies
from gateway.hosting.config import ConfigInvalid, FurtherWitness, PolicyChoice
from gateway.hosting.policies import PolicyNotOurs
from sync.proofs.note import COSIGNATURE_V1, Ed25519Signer, Verifier
from sync.proofs.policy import PolicyInvalid, format_policy, parse_policy
from sync.proofs.signed_policy import PolicyOutdated, PolicyWeaker, sign_policy
from sync.trust.certificates import CertificateRefused, Directory, Enrolment, enrolment, verify_chain
from sync.trust.granting import enrol
from sync.trust.keys import load_keys

CITY, COUNTY, TOWN = Division("410200000000"), Division("410221000000"), Division("410221100000")
OUTSIDE, AUDIT, PEER = (
    Ed25519Signer(f"{name}.example/w", COSIGNATURE_V1, name.encode().ljust(32)) for name in ("outside", "audit", "peer")
)
NOW_US = time.time_ns() // 1000
YEAR_US = 366 * 86_400_000_000
HELD = 50
"""So many leaves of a log the superior holds."""


def cosigned_by(_: Verifier) -> int:
    """A key that others followed had cosigned as much."""
    return 40


def further(signer: Ed25519Signer) -> FurtherWitness:
    name = signer.verifier.name.partition(".")[0]
    return FurtherWitness(name=name, url=f"http://{name}.example", key=signer.verifier.vkey)


def settings(division: Division, parent: Division | None, choice: PolicyChoice = PolicyChoice()) -> config.NodeConfig:  # noqa: B008
    identity = config.Identity(
        division=division, name="某局", tier=tier_of(division), trust_domain="t.example", parent=parent
    )
    outside = config.OutsideWitness(url="http://outside.example", key=OUTSIDE.verifier.vkey)
    return config.NodeConfig(node=identity, witness=None if parent else outside, policy=choice)


class Line(NamedTuple):
    """A city, a county and a township, founded and enrolled, with what the city knows."""

    folder: Path
    directory: Directory

    def node(self, name: str) -> tuple[Path, config.NodeConfig, Directory]:
        return self.folder / name, config.load(self.folder / name), self.directory

    def chooses(self, name: str, needed: str, *witnesses: Ed25519Signer) -> str:
        """The draft of a node whose operator has chosen so."""
        folder, known, directory = self.node(name)
        choice = PolicyChoice(needed=needed, witnesses=tuple(map(further, witnesses)))
        config.write(folder, msgspec.structs.replace(known, policy=choice))
        return format_policy(policies.draft(config.load(folder), directory, cosigned_by))

    def signs(self, name: str, draft: str, *, accept_weaker: bool = False) -> str:
        signer = load_keys(self.folder / name / founding.KEYS).log
        return policies.issue(
            self.folder / name, signer, self.directory, draft, NOW_US, lambda _: HELD, accept_weaker=accept_weaker
        )


@pytest.fixture
def line(tmp_path: Path) -> Line:
    founding.found_root(tmp_path / "city", settings(CITY, None), NOW_US)
    given = founding.enrolment(tmp_path / "city")
    directory = verify_chain(given.certificates, given.root_fingerprint)
    for name, division, parent in (("county", COUNTY, CITY), ("town", TOWN, COUNTY)):
        request = founding.found(tmp_path / name, settings(division, parent))
        above = {CITY: "city", COUNTY: "county"}[parent]
        text = enrol(
            request, parent, load_keys(tmp_path / above / founding.KEYS).log, directory, NOW_US, NOW_US + YEAR_US
        )
        directory = directory.adding(text)
        founding.install(tmp_path / name, enrolment(directory, text))
    return Line(tmp_path, directory)


def test_without_further_witnesses_the_next_one_up_alone_must_have_cosigned(line: Line) -> None:
    for name, up in (("city", "outside"), ("county", CITY), ("town", COUNTY)):
        policy = policies.draft(*line.node(name)[1:], cosigned_by)
        assert ([one.name for one in policy.witnesses], policy.groups, policy.quorum) == ([up], (), up)


@pytest.mark.parametrize(
    ("needed", "rules"),
    [
        ("all", "group further 2 audit peer\ngroup secured 2 410221000000 further\nquorum secured\n"),
        ("any", "group further 1 audit peer\ngroup secured 2 410221000000 further\nquorum secured\n"),
        ("2", "group further 2 audit peer\ngroup secured 2 410221000000 further\nquorum secured\n"),
        ("none", "quorum 410221000000\n"),
    ],
)
def test_what_is_chosen_in_one_place_is_what_is_published(line: Line, needed: str, rules: str) -> None:
    draft = line.chooses("town", needed, AUDIT, PEER)
    assert rules in draft
    assert f"witness audit {AUDIT.verifier.vkey} http://audit.example\n" in draft
    assert policies.published(*line.node("town"), cosigned_by).text == draft


@pytest.mark.parametrize("needed", ["3", "0", "most", "-1"])
def test_more_witnesses_than_there_are_or_none_of_a_number_is_refused(line: Line, needed: str) -> None:
    with pytest.raises(ConfigInvalid):
        line.chooses("town", needed, AUDIT, PEER)


def test_a_witness_that_is_the_superior_or_stands_twice_is_refused(line: Line) -> None:
    up = load_keys(line.folder / "county" / founding.KEYS).witness
    with pytest.raises(ConfigInvalid, match="used twice"):
        line.chooses("town", "all", AUDIT, Ed25519Signer("peer.example/w", COSIGNATURE_V1, b"audit".ljust(32)))
    with pytest.raises(ConfigInvalid, match="one name"):
        line.chooses("town", "all", AUDIT, Ed25519Signer("audit.example/w", COSIGNATURE_V1, b"another".ljust(32)))
    choice = PolicyChoice(witnesses=(FurtherWitness(name="up", url="http://up", key=up.verifier.vkey),))
    with pytest.raises(ConfigInvalid, match="one name"):
        policies.draft(msgspec.structs.replace(line.node("town")[1], policy=choice), line.directory, cosigned_by)


def test_what_the_superior_or_the_root_has_signed_is_published_under_its_number(line: Line) -> None:
    draft = line.chooses("town", "any", AUDIT, PEER)
    for above, serial in (("county", 1), ("county", 2)):
        note = line.signs(above, draft)
        assert policies.install(*line.node("town"), note, cosigned_by) == serial
        published = policies.published(*line.node("town"), cosigned_by)
        assert (published.text, published.policy, published.is_outdated) == (
            note, parse_policy(draft), False,
        )  # fmt: skip
    own = line.signs("city", line.chooses("city", "none"))
    assert policies.install(*line.node("city"), own, cosigned_by) == 1
    assert policies.published(*line.node("city"), cosigned_by).text == own


def test_65_an_older_a_weaker_or_a_strangers_policy_is_not_installed(line: Line) -> None:
    strong = line.chooses("town", "all", AUDIT, PEER)
    first, second = line.signs("county", strong), line.signs("county", strong)
    policies.install(*line.node("town"), second, cosigned_by)
    weak = strong.replace("group further 2", "group further 1")
    with pytest.raises(PolicyWeaker):
        line.signs("county", weak)
    third = line.signs("county", weak, accept_weaker=True)
    with pytest.raises(PolicyOutdated):
        policies.install(*line.node("town"), first, cosigned_by)
    with pytest.raises(PolicyWeaker):
        policies.install(*line.node("town"), third, cosigned_by)
    with pytest.raises(PolicyInvalid):
        policies.install(
            *line.node("town"),
            sign_policy(parse_policy(strong), 9, load_keys(line.folder / "town" / "keys").log),
            cosigned_by,
        )
    assert policies.published(*line.node("town"), cosigned_by).text == second
    assert policies.install(*line.node("town"), third, cosigned_by, accept_weaker=True) == 3


def test_65_a_draft_that_could_do_without_the_superior_or_names_keys_nobody_certified_is_not_signed(
    line: Line,
) -> None:
    draft = line.chooses("town", "all", AUDIT, PEER)
    with pytest.raises(PolicyNotOurs, match="direct superior"):
        line.signs("county", draft.replace("quorum secured", "quorum further"))
    other = load_keys(line.folder / "city" / "keys")
    own = load_keys(line.folder / "town" / "keys")
    with pytest.raises(CertificateRefused):
        line.signs("county", draft.replace(own.log.verifier.vkey, OTHER_LOG.verifier.vkey))
    with pytest.raises(PolicyNotOurs, match="promises"):
        line.signs("county", draft.replace(own.intake.verifier.vkey, other.intake.verifier.vkey))
    for named in (draft.split("witness ")[1].split()[0], "audit"):
        with pytest.raises(PolicyNotOurs, match="earlier key"):
            line.signs("county", f"{draft}# huiyin:witness-before {named} {own.witness.verifier.vkey} {HELD}\n")
    with pytest.raises(PolicyNotOurs, match="promises"):
        line.signs("county", f"{draft}# huiyin:intake-before {other.intake.verifier.vkey}\n")


OTHER_LOG = Ed25519Signer(f"t.example/{TOWN}/1", 0x01, b"o" * 32)


def test_a_policy_of_another_node_or_with_a_witness_that_nobody_asks_is_not_installed(line: Line) -> None:
    county = line.signs("city", line.chooses("county", "none"))
    with pytest.raises(PolicyNotOurs):
        policies.install(*line.node("town"), county, cosigned_by)
    both = line.signs("county", line.chooses("town", "all", AUDIT, PEER))
    line.chooses("town", "all", AUDIT)
    with pytest.raises(PolicyNotOurs, match="peer"):
        policies.install(*line.node("town"), both, cosigned_by)


def test_a_signed_policy_that_does_not_fit_any_more_gives_way_to_the_bare_one_and_it_is_said(line: Line) -> None:
    note = line.signs("county", line.chooses("town", "all", AUDIT, PEER))
    policies.install(*line.node("town"), note, cosigned_by)
    draft = line.chooses("town", "all", AUDIT)
    published = policies.published(*line.node("town"), cosigned_by)
    assert (published.text, published.is_outdated) == (draft, True)


def test_the_section_is_written_as_it_is_read(line: Line) -> None:
    line.chooses("town", "any", AUDIT, PEER)
    text = (line.folder / "town" / "node.toml").read_text("utf-8")
    assert len(re.findall(r"(?m)^\[\[policy\.witnesses]]$", text)) == 2
    assert config.load(line.folder / "town").policy == PolicyChoice(
        needed="any", witnesses=(further(AUDIT), further(PEER))
    )


def test_the_keys_that_an_outside_witness_has_had_count_up_to_what_each_had_cosigned(line: Line) -> None:
    folder, known, directory = line.node("city")
    assert known.witness is not None
    followed = msgspec.structs.replace(known.witness, key=AUDIT.verifier.vkey, before=(OUTSIDE.verifier.vkey,))
    config.write(folder, msgspec.structs.replace(known, witness=followed))
    assert config.load(folder).witness == followed
    draft = format_policy(policies.draft(config.load(folder), directory, cosigned_by))
    assert f"# huiyin:witness-before outside {OUTSIDE.verifier.vkey} 40\n" in draft
    assert OUTSIDE.verifier.vkey in line.signs("city", draft)
    with pytest.raises(PolicyNotOurs, match="beyond"):
        line.signs("city", draft.replace(f"{OUTSIDE.verifier.vkey} 40", f"{OUTSIDE.verifier.vkey} {HELD + 1}"))


def test_a_directory_of_another_tree_signs_nothing(line: Line, tmp_path: Path) -> None:
    founding.found_root(tmp_path / "elsewhere", settings(CITY, None), NOW_US)
    given: Enrolment = founding.enrolment(tmp_path / "elsewhere")
    strangers = verify_chain(given.certificates, given.root_fingerprint)
    signer = load_keys(tmp_path / "elsewhere" / founding.KEYS).log
    with pytest.raises(CertificateRefused):
        policies.issue(tmp_path / "elsewhere", signer, strangers, line.chooses("town", "none"), NOW_US, lambda _: HELD)


def rotated_county(line: Line) -> Line:
    """The same, once the county's keys have followed others."""
    folder, _, directory = line.node("county")
    before = load_keys(folder / founding.KEYS)
    founding.begin_rotation(folder)
    founding.ask_rotation(folder, 9)
    request = (folder / founding.REQUEST).read_text()
    city = load_keys(line.folder / "city" / founding.KEYS).log
    text = enrol(request, CITY, city, directory, NOW_US, NOW_US + YEAR_US)
    assert before.log.verifier.vkey not in text.split("\n")[1]
    return Line(line.folder, directory.adding(text))


def test_a_superior_s_key_that_another_followed_counts_up_to_where_it_had_cosigned_and_none_signs_for_more(
    line: Line,
) -> None:
    former = load_keys(line.folder / "county" / founding.KEYS).witness.verifier.vkey
    after = rotated_county(line)
    draft = after.chooses("town", "none")
    assert f"# huiyin:witness-before {COUNTY} {former} 40\n" in draft
    assert former in after.signs("city", draft)
    for claimed in (HELD + 1, 2**62):
        with pytest.raises(PolicyNotOurs, match="beyond"):
            after.signs("city", draft.replace(f"{former} 40", f"{former} {claimed}"))
