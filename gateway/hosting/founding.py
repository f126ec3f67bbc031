"""Founding a node: its folder, its keys, its place in the tree, and what it gives its children when they are enrolled.

DIR/node.toml            the configuration
DIR/keys/                key files, for the owner alone
DIR/request.note         what the superior signs (`huiyin node enrol`), again when the certificate is renewed
DIR/trust/enrolment.json certificates from the root down to this node, and the pin of the root
DIR/trust/clock.json     what the operator has confirmed of the machine's clock, if ever
"""

import base64
import os
from pathlib import Path

import msgspec

from gateway.hosting.config import NodeConfig, load, write
from sync.trust.certificates import (
    RENEWAL_US,
    CertificateRefused,
    Enrolment,
    Keys,
    Request,
    fingerprint,
    make_request,
    make_root,
)
from sync.trust.enrolment import read_enrolment, verify_enrolment
from sync.trust.escrow import new_escrow, write_share
from sync.trust.keys import NodeKeys, generate_keys, load_keys, replace_private, rotate_recipient

VALIDITY_US = 20 * 366 * 24 * 3_600_000_000
"""How long a certificate is good for."""

ENROLMENT = Path("trust/enrolment.json")
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
    """Every node pins the root's certificate, so it has no next one. Found the hierarchy anew before it runs out."""

    def __init__(self) -> None:
        super().__init__(
            "根证书由各节点固定指定，不能续期或更换密钥；到期前须重新建立整个层级 / every node pins the root's "
            "certificate: it is neither renewed nor rotated; found the hierarchy anew before it runs out"
        )


def found(folder: Path, config: NodeConfig) -> str:
    """Make the folder of a new node with fresh keys; returns its request. Raises FolderTaken, KeyFileRefused."""
    if (folder / "node.toml").exists():
        raise FolderTaken(folder)
    folder.mkdir(parents=True, exist_ok=True)
    keys = generate_keys(folder / KEYS, config.origin)
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
    keys = load_keys(folder / KEYS)
    text = make_request(request_of(config, keys), keys.log)
    replace_private(folder / REQUEST, text.encode())
    return text


def told_us(ends_us: int, now_us: int) -> int:
    """When a certificate ends, once it is time to renew it; 0 before. All in UTC microseconds."""
    return ends_us if ends_us - RENEWAL_US <= now_us else 0


def found_root(folder: Path, config: NodeConfig, now_us: int) -> str:
    """Make the folder of a root, which signs its own certificate, and the escrow's two shares for two persons.

    Returns the vkey of its log, which its outside witness has to know.
    """
    found(folder, config)
    keys = load_keys(folder / KEYS)
    text = make_root(request_of(config, keys), keys.log, now_us, now_us + VALIDITY_US, found_escrow(folder))
    install(folder, Enrolment(fingerprint(text), [text]))
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


def install(folder: Path, given: Enrolment) -> None:
    """Put what the superior handed back into its place, if it certifies this very node and leads to its root.

    Raises CertificateRefused, ConfigInvalid, KeyFileRefused.
    """
    config = load(folder)
    verify_enrolment(given, request_of(config, load_keys(folder / KEYS)), config.node.parent)
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
    """A new escrow key as two shares, for two persons to carry away; returns the public half, raw."""
    shares = new_escrow(os.urandom)
    for share in shares:
        write_share(folder / f"escrow-share-{share.holder}.json", share)
    return shares[0].key
