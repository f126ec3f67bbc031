"""Founding a node: its folder, its keys, its place in the tree, and what it gives its children when they are enrolled.

DIR/node.toml            the configuration
DIR/keys/                key files, for the owner alone
DIR/request.note         what the superior signs (`huiyin node enrol`)
DIR/trust/enrolment.json certificates from the root down to this node, and the pin of the root
DIR/trust/escrow.key     the public key that every data key is wrapped to once more
"""

import base64
import os
from pathlib import Path

import msgspec

from gateway.config import ConfigInvalid, NodeConfig, load, write
from sync.escrow import new_escrow, write_share
from sync.keys import NodeKeys, generate_keys, load_keys, replace_private
from sync.note import parse_vkey
from sync.policy import Policy, Witness, format_policy
from sync.trust import (
    Directory,
    Enrolment,
    Keys,
    Request,
    fingerprint,
    make_request,
    make_root,
    verify_chain,
)

VALIDITY_US = 20 * 366 * 24 * 3_600_000_000
"""How long a certificate is good for."""

ENROLMENT = Path("trust/enrolment.json")
ESCROW = Path("trust/escrow.key")
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


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a superior hands back: the enrolment, and the escrow's public key in base64, if the root has one."""

    enrolment: Enrolment
    escrow: str | None


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


def found_root(folder: Path, config: NodeConfig, now_us: int) -> str:
    """Make the folder of a root, which signs its own certificate, and the escrow's two shares for two persons.

    Returns the vkey of its log, which its outside witness has to know.
    """
    found(folder, config)
    keys = load_keys(folder / KEYS)
    text = make_root(request_of(config, keys), keys.log, now_us, now_us + VALIDITY_US)
    escrow = base64.b64encode(found_escrow(folder)).decode()
    install(folder, Bundle(Enrolment(fingerprint(text), [text]), escrow))
    return keys.log.verifier.vkey


def request_of(config: NodeConfig, keys: NodeKeys) -> Request:
    """What a node with these keys asks its superior to sign."""
    return Request(
        division=config.node.division,
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


def published_policy(config: NodeConfig, directory: Directory) -> str:
    """The C2SP tlog-policy of this node's log: its parent must have cosigned, at the root the outside witness.

    A demo's policy says that its clock is simulated, so that no other reader accepts it.
    """
    own = directory.division(config.node.division)
    if own is None:
        raise LookupError("a node that is not enrolled has no policy")
    witness = _quorum(config, directory)
    policy = Policy(
        log=own.log,
        log_url=None,
        witnesses=(witness,),
        groups=(),
        quorum=witness.name,
        intake=parse_vkey(own.certificate.keys.intake),
        simulated_clock=config.clock.kind == "shared",
    )
    return format_policy(policy)


def _quorum(config: NodeConfig, directory: Directory) -> Witness:
    parent = config.node.parent
    if parent is not None:
        known = directory.division(parent)
        if known is None:
            raise LookupError(f"the certificate of {parent} is not here")
        return Witness(str(parent), known.witness)
    if config.witness is None:
        raise ConfigInvalid("根节点须在 [witness] 中指定外部见证 / the root needs an outside [witness]")
    return Witness("outside", parse_vkey(config.witness.key), config.witness.url)


def install(folder: Path, bundle: Bundle) -> None:
    """Put what the superior handed back into its place. Raises CertificateRefused where it does not hold."""
    verify_chain(bundle.enrolment.certificates, bundle.enrolment.root_fingerprint)
    (folder / "trust").mkdir(mode=0o700, exist_ok=True)
    if bundle.escrow is not None:
        replace_private(folder / ESCROW, bundle.escrow.encode())
    replace_private(folder / ENROLMENT, msgspec.json.encode(bundle.enrolment))


def install_from(folder: Path, file: Path) -> None:
    """The same of a bundle's file. Raises BundleInvalid where it is none, or that of another node; ConfigInvalid."""
    config, keys = load(folder), load_keys(folder / KEYS)
    try:
        bundle = msgspec.json.decode(file.read_bytes(), type=Bundle)
        base64.b64decode(bundle.escrow or "", validate=True)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise BundleInvalid(file) from None
    directory = verify_chain(bundle.enrolment.certificates, bundle.enrolment.root_fingerprint)
    own = directory.division(config.node.division)
    if own is None or own.certificate.keys != request_of(config, keys).keys:
        raise BundleInvalid(file)
    install(folder, bundle)


def enrolment(folder: Path) -> Enrolment:
    """What the superior handed back. Raises NotEnrolled."""
    try:
        return msgspec.json.decode((folder / ENROLMENT).read_bytes(), type=Enrolment)
    except FileNotFoundError:
        raise NotEnrolled(folder) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BundleInvalid(folder / ENROLMENT) from None


def escrow_text(folder: Path) -> str | None:
    """The escrow's public key in base64, where there is one."""
    path = folder / ESCROW
    return path.read_text("ascii") if path.exists() else None


def escrow_key(folder: Path) -> bytes | None:
    """The same as raw bytes."""
    text = escrow_text(folder)
    return None if text is None else base64.b64decode(text)


def found_escrow(folder: Path) -> bytes:
    """A new escrow key as two shares, for two persons to carry away; returns the public half, raw."""
    shares = new_escrow(os.urandom)
    for share in shares:
        write_share(folder / f"escrow-share-{share.holder}.json", share)
    return shares[0].key
