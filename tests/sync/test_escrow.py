from pathlib import Path

import pytest

from domain.divisions import Division
from domain.events import CaseId, EventId
from sync.sealed.sealing import DataKey, Recipient, SealBroken, grant_key, open_texts, seal_texts
from sync.trust.escrow import EscrowShare, SharesDoNotFit, join_shares, new_escrow, read_share, write_share
from sync.trust.keys import KeyFileExists, KeyFileExposed, KeyFileMalformed, KeyFileMissing
from tests.sync.chance import Chance

COUNTY = Division("410221000000")
CASE = CaseId(Chance(1).uuid())
EVENT = EventId(Chance(2).uuid())


def test_two_persons_together_open_what_a_dead_node_sealed() -> None:
    random = Chance(3)
    first, second = new_escrow(random)
    key = DataKey.fresh(CASE, "ab" * 16, random)
    sealed, part = seal_texts(key, EVENT, {"body": "大棚被淹"}, random)
    wrapped = grant_key(key, [(Recipient(COUNTY, first.key), "escrow")])

    opened = DataKey.unwrap(wrapped.parts[0], join_shares(second, first), CASE, "ab" * 16, COUNTY)

    assert [opening.value for opening in open_texts(opened, EVENT, sealed, part)] == ["大棚被淹"]


def test_one_share_alone_opens_nothing() -> None:
    first, second = new_escrow(Chance(1))
    for one, other in [(first, first), (second, second)]:
        with pytest.raises(SharesDoNotFit):
            join_shares(one, other)


def test_one_share_is_chance_alone() -> None:
    pad = Chance(5)
    first, second = new_escrow(pad)
    private = bytes(a ^ b for a, b in zip(first.share, second.share, strict=True))
    assert private not in (first.share, second.share)
    assert join_shares(first, second).private_bytes_raw() == private


def test_shares_of_two_keys_do_not_fit() -> None:
    one, other = new_escrow(Chance(1)), new_escrow(Chance(2))
    with pytest.raises(SharesDoNotFit):
        join_shares(one[0], other[1])


def test_shares_that_name_different_public_keys_do_not_fit() -> None:
    (first, second), (other, _) = new_escrow(Chance(1)), new_escrow(Chance(2))
    with pytest.raises(SharesDoNotFit):
        join_shares(first, EscrowShare(holder="second", key=other.key, share=second.share))


def test_an_altered_share_does_not_fit() -> None:
    first, second = new_escrow(Chance(1))
    altered = EscrowShare(holder="second", key=second.key, share=bytes([second.share[0] ^ 8]) + second.share[1:])
    with pytest.raises(SharesDoNotFit):
        join_shares(first, altered)
    for share in (b"", second.share[:-1], second.share + b"\0"):
        with pytest.raises(SharesDoNotFit):
            join_shares(first, EscrowShare(holder="second", key=second.key, share=share))
    with pytest.raises(SharesDoNotFit):
        join_shares(
            EscrowShare(holder="first", key=first.key, share=b""),
            EscrowShare(holder="second", key=first.key, share=b""),
        )


def test_another_key_than_the_escrows_opens_nothing() -> None:
    random = Chance(1)
    (first, _), other = new_escrow(random), new_escrow(random)
    wrapped = DataKey.fresh(CASE, "ab" * 16, random).wrap(Recipient(COUNTY, first.key))
    with pytest.raises(SealBroken):
        DataKey.unwrap(wrapped, join_shares(*other), CASE, "ab" * 16, COUNTY)


def test_each_share_is_a_file_for_its_holder_alone(tmp_path: Path) -> None:
    first, second = new_escrow(Chance(1))
    write_share(tmp_path / "first.share", first)
    write_share(tmp_path / "second.share", second)
    assert (tmp_path / "first.share").stat().st_mode & 0o777 == 0o600
    assert read_share(tmp_path / "first.share") == first
    assert join_shares(read_share(tmp_path / "first.share"), read_share(tmp_path / "second.share"))
    with pytest.raises(KeyFileExists):
        write_share(tmp_path / "first.share", second)


def test_a_share_file_that_is_exposed_missing_or_malformed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "first.share"
    with pytest.raises(KeyFileMissing):
        read_share(path)
    write_share(path, new_escrow(Chance(1))[0])
    path.chmod(0o644)
    with pytest.raises(KeyFileExposed):
        read_share(path)
    path.chmod(0o600)
    for content in (b"{}", b"\xff", b'{"type":"escrow-share.v0","holder":"third","key":"","share":""}'):
        path.write_bytes(content)
        with pytest.raises(KeyFileMalformed):
            read_share(path)


def test_a_share_is_not_printed() -> None:
    first, second = new_escrow(Chance(1))
    for share in (first, second):
        told = f"{share!r} {share} {list(share.__rich_repr__())}"
        assert repr(share.share) not in told
        assert share.share.hex() not in told
