"""Founding a node: its folder, its keys, its place in the tree, and what it gives its children when they are enrolled.

DIR/node.toml            the configuration
DIR/keys/                key files, for the owner alone
DIR/request.note         what the superior signs (`huiyin node enrol`), again when the certificate is renewed
DIR/trust/enrolment.json certificates from the root down to this node, and the pin of the root
DIR/trust/escrow.json    at the root: the public keys of the two officers of the escrow
DIR/trust/clock.json     what the operator has confirmed of the machine's clock, if ever
"""

import base64
import os
from pathlib import Path

import msgspec

from domain.divisions import Division
from gateway.hosting.config import FILE_NAME, ChannelEnd, NodeConfig, check, load, write
from sync.sealed.sealing import recipient_key_id
from sync.trust.certificates import RENEWAL_US, CertificateRefused, Enrolment
from sync.trust.enrolment import read_enrolment, verify_enrolment
from sync.trust.escrow import new_escrow, write_share
from sync.trust.escrow_request import officer
from sync.trust.keys import (
    KeyFileExists,
    NodeKeys,
    SigningKeys,
    add_signing_keys,
    generate_keys,
    load_keys,
    replace_private,
    rotate_recipient,
)
from sync.trust.statements import (
    Certificate,
    Keys,
    Request,
    fingerprint,
    make_next_root,
    make_request,
    make_root,
    read_statement,
)

VALIDITY_US = 20 * 366 * 24 * 3_600_000_000
"""How long a certificate is good for."""

ENROLMENT = Path("trust/enrolment.json")
OFFICERS = Path("trust/escrow.json")
REQUEST = Path("request.note")
KEYS = Path("keys")


class FolderTaken(Exception):
    """There is a node in this folder already. Use it, or choose another folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} 中已有节点，请换一个目录 / there is a node in {folder}, choose another folder")


class NotEnrolled(Exception):
    """The superior has not signed this node's request yet. Carry it there, and install what comes back."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} 尚未登记：请把 {REQUEST} 交给上级运行 huiyin node enrol，再装入登记结果 / "
            f"not enrolled yet: have the superior run `huiyin node enrol` on {folder / REQUEST} "
            "and install what comes back"
        )


class BundleInvalid(Exception):
    """The file is not what the superior gave back for this node. Fetch it again, or choose the right folder."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"{file} 不是上级为本节点签发的登记结果，请核对文件和节点目录，或请上级重新签发 / {file} is not what the "
            "superior gave back for this node; check file and folder, or have the superior enrol the node again"
        )


class RootNotRenewed(Exception):
    """Nobody stands above the root to renew it. Change its signing keys: the old ones certify the new ones."""

    def __init__(self) -> None:
        super().__init__(
            "根节点没有上级可以续期：请用 huiyin node rotate 换钥，由旧密钥签发新证书 / nobody stands above the "
            "root to renew it: run `huiyin node rotate`, and its old keys certify the new ones"
        )


class RotatedLately(Exception):
    """The signing keys were changed within the last month, and those before still sign beside them. Wait it out."""

    def __init__(self) -> None:
        super().__init__(
            "签名密钥在三十天内刚换过，旧密钥仍在并行签名；请期满后再换，若被盗请用 --after-theft / the signing keys "
            "were changed within the last 30 days and those before still sign beside them; change them after that, or "
            "with --after-theft if they were stolen"
        )


def found(folder: Path, config: NodeConfig) -> str:
    """Make the folder of a new node with fresh keys; returns its request.

    Raises FolderTaken, ConfigInvalid, KeyFileRefused. One that broke off is taken up by the same command: `node.toml`
    comes last, and without it there is no node.
    """
    return _finish(folder, config, _keys_of_new(folder, config))


def _keys_of_new(folder: Path, config: NodeConfig) -> NodeKeys:
    """Fresh keys, or those of a founding of this very node that broke off here."""
    if (folder / FILE_NAME).exists():
        raise FolderTaken(folder)
    check(folder, config)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / KEYS).is_dir() or not any((folder / KEYS).iterdir()):
        return generate_keys(folder / KEYS, config.origin)
    keys = load_keys(folder / KEYS)
    if keys.log.verifier.name != config.origin:
        raise KeyFileExists(folder / KEYS)
    return keys


def _finish(folder: Path, config: NodeConfig, keys: NodeKeys) -> str:
    text = make_request(request_of(config, keys), keys.log)
    replace_private(folder / REQUEST, text.encode())
    write(folder, config)
    return text


def renew(folder: Path, *, new_recipient_key: bool) -> str:
    """Ask the superior for the next certificate; returns the request. new_recipient_key: with one, kept beside the old.

    Raises ConfigInvalid, KeyFileRefused, RootNotRenewed.
    """
    config = load(folder)
    if config.node.parent is None:
        raise RootNotRenewed
    if new_recipient_key:
        rotate_recipient(folder / KEYS)
    keys = keys_of(folder)
    text = make_request(request_of(config, keys), keys.log)
    replace_private(folder / REQUEST, text.encode())
    return text


def keys_of(folder: Path) -> NodeKeys:
    """The node's keys, those in force as its certificate says. Raises ConfigInvalid, KeyFileRefused, BundleInvalid."""
    try:
        given = enrolment(folder)
    except NotEnrolled:
        return load_keys(folder / KEYS)
    return load_keys(folder / KEYS, certified=_own_certificate(folder, given).keys.log)


def own_certificate(folder: Path) -> Certificate:
    """The certificate in force as it was installed. Raises ConfigInvalid, NotEnrolled, BundleInvalid."""
    load(folder)
    return _own_certificate(folder, enrolment(folder))


def _own_certificate(folder: Path, given: Enrolment) -> Certificate:
    own = _latest(given, load(folder).node.division)
    if own is None:
        raise BundleInvalid(folder / ENROLMENT)
    return own


def _latest(given: Enrolment, division: Division) -> Certificate | None:
    """The last certificate of a division among these, nothing of it verified; null where one cannot be read."""
    try:
        said = [read_statement(text) for text in given.certificates]
    except CertificateRefused:
        return None
    own = [one for one in said if isinstance(one, Certificate) and one.division == division]
    return max(own, key=lambda one: one.serial, default=None)


def begin_rotation(folder: Path) -> SigningKeys:
    """The keys that are to follow those in force, made now unless a rotation has been begun already.

    Raises ConfigInvalid, KeyFileRefused.
    """
    return keys_of(folder).following or add_signing_keys(folder / KEYS, load(folder).origin)


def ask_rotation(folder: Path, since_size: int) -> str:
    """Ask the superior to certify the keys that follow; returns the request. since_size: from where they sign alone."""
    after, keys = begin_rotation(folder), keys_of(folder)
    text = make_request(_following(load(folder), keys, after, since_size), after.log, keys.log)
    replace_private(folder / REQUEST, text.encode())
    return text


def ask_after_theft(folder: Path) -> str:
    """All keys anew, and ask the superior, who took the old ones back, to certify them; returns the request.

    Raises ConfigInvalid, NotEnrolled, BundleInvalid, KeyFileRefused.
    """
    own_certificate(folder)
    rotate_recipient(folder / KEYS)
    after = add_signing_keys(folder / KEYS, load(folder).origin)  # a thief may have those begun before, too
    text = make_request(_following(load(folder), keys_of(folder), after, 0), after.log)
    replace_private(folder / REQUEST, text.encode())
    return text


def rotate_root(folder: Path, since_size: int, now_us: int) -> str:
    """Have the root's keys in force certify those that follow, and install that; the new vkey of its log."""
    after, keys = begin_rotation(folder), keys_of(folder)
    given, older = enrolment(folder), own_certificate(folder)
    request = _following(load(folder), keys, after, since_size)
    text = make_next_root(request, after.log, keys.log, older, now_us, now_us + VALIDITY_US)
    install(folder, Enrolment(given.root_fingerprint, [*given.certificates, text]))
    return request.keys.log


def _following(config: NodeConfig, keys: NodeKeys, after: SigningKeys, since_size: int) -> Request:
    anew = msgspec.structs.replace(keys, log=after.log, witness=after.witness, intake=after.intake)
    return msgspec.structs.replace(request_of(config, anew), since_size=since_size)


def told_us(ends_us: int, now_us: int) -> int:
    """When a certificate ends, once it is time to renew it; 0 before. All in UTC microseconds."""
    return ends_us if ends_us - RENEWAL_US <= now_us else 0


def found_root(folder: Path, config: NodeConfig, now_us: int) -> str:
    """Make the folder of a root, which signs its own certificate, and the escrow's two shares for two persons.

    Returns the vkey of its log, which its outside witness has to know.
    """
    keys = _keys_of_new(folder, config)
    text = make_root(request_of(config, keys), keys.log, now_us, now_us + VALIDITY_US, found_escrow(folder))
    _install(folder, config, keys, Enrolment(fingerprint(text), [text]))
    _finish(folder, config, keys)
    return keys.log.verifier.vkey


def request_of(config: NodeConfig, keys: NodeKeys) -> Request:
    """What a node with these keys asks its superior to sign."""
    return Request(
        division=config.node.division,
        parent=config.node.parent,
        name=config.node.name,
        tier=config.node.tier,
        origin=config.origin,
        keys=Keys(
            log=keys.log.verifier.vkey,
            witness=keys.witness.verifier.vkey,
            intake=keys.intake.verifier.vkey,
            recipient_id=keys.recipient.key_id,
            recipient=base64.b64encode(keys.recipient.public).decode(),
        ),
    )


class ChannelNeeded(Exception):
    """The node stands below another superior from now on. Say where its channel is."""

    def __init__(self) -> None:
        super().__init__(
            "本节点改隶另一上级，请用 --channel-up 写明其通道 / the node stands below another superior from now on; "
            "name the channel to it with --channel-up"
        )


def install_elsewhere(folder: Path, file: Path, channel_up: str) -> None:
    """The same where somebody above has placed this node below another superior, reached by this channel.

    Raises ChannelNeeded, BundleInvalid, CertificateRefused, ConfigInvalid, KeyFileRefused.
    """
    config, given = load(folder), _read_bundle(file)
    own = _latest(given, config.node.division)
    if own is None or given.root_fingerprint != enrolment(folder).root_fingerprint:
        raise BundleInvalid(file)
    if not channel_up:
        raise ChannelNeeded
    verify_enrolment(given, request_of(config, keys_of(folder)), own.parent)
    replace_private(folder / ENROLMENT, msgspec.json.encode(given))
    moved = msgspec.structs.replace(config.node, parent=own.parent)
    channels = msgspec.structs.replace(config.channel, up=ChannelEnd(dsn=channel_up))
    write(folder, msgspec.structs.replace(config, node=moved, channel=channels))


def _read_bundle(file: Path) -> Enrolment:
    try:
        return read_enrolment(file.read_bytes())
    except CertificateRefused as error:
        raise BundleInvalid(file) from error


def is_elsewhere(folder: Path, file: Path) -> bool:
    """Whether what was handed back says that this node stands below another superior than it is configured for."""
    config = load(folder)
    own = _latest(_read_bundle(file), config.node.division)
    return own is not None and own.serial > 1 and own.parent != config.node.parent


def install(folder: Path, given: Enrolment) -> None:
    """Put what the superior handed back into its place, if it certifies this very node and leads to its root.

    Raises CertificateRefused, ConfigInvalid, KeyFileRefused.
    """
    config = load(folder)
    own = _latest(given, config.node.division)
    keys = load_keys(folder / KEYS, certified=own.keys.log if own else None)
    _install(folder, config, keys, given)


def _install(folder: Path, config: NodeConfig, keys: NodeKeys, given: Enrolment) -> None:
    verify_enrolment(given, request_of(config, keys), config.node.parent)
    (folder / "trust").mkdir(mode=0o700, exist_ok=True)
    replace_private(folder / ENROLMENT, msgspec.json.encode(given))


def install_from(folder: Path, file: Path) -> None:
    """The same of the superior's file. Raises BundleInvalid, too, where it is none or that of another node."""
    try:
        install(folder, read_enrolment(file.read_bytes()))
    except CertificateRefused as error:
        if error.reason in ("malformed", "another_node", "another_request"):
            raise BundleInvalid(file) from error
        raise


def enrolment(folder: Path) -> Enrolment:
    """What the superior handed back. Raises NotEnrolled, BundleInvalid."""
    try:
        return read_enrolment((folder / ENROLMENT).read_bytes())
    except FileNotFoundError:
        raise NotEnrolled(folder) from None
    except CertificateRefused as error:
        raise BundleInvalid(folder / ENROLMENT) from error


def found_escrow(folder: Path) -> bytes:
    """A new escrow key as two shares, for two persons to carry away; returns the public half, raw.

    Shares of a founding that broke off open nothing, and are replaced.
    """
    shares = new_escrow(os.urandom)
    for share in shares:
        path = folder / f"escrow-share-{share.holder}.json"
        path.unlink(missing_ok=True)
        write_share(path, share)
    first, second = (officer(share).verifier.vkey for share in shares)
    named = Officers(key=recipient_key_id(shares[0].key), first=first, second=second)
    (folder / "trust").mkdir(mode=0o700, exist_ok=True)
    replace_private(folder / OFFICERS, msgspec.json.encode(named))
    return shares[0].key


class Officers(msgspec.Struct, frozen=True, kw_only=True):
    """What the root's log names once: the id of the escrow's key, and the vkeys of the two whose signatures open it."""

    key: str
    first: str
    second: str


def officers(folder: Path) -> Officers | None:
    """Of a root that was founded with an escrow."""
    try:
        return msgspec.json.decode((folder / OFFICERS).read_bytes(), type=Officers)
    except FileNotFoundError:
        return None
