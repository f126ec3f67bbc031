"""RFC 9180 as this program uses it, with the sender's key by a seed: a simulation gives the same bytes every time."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import Suite

from sync.sealed import sealed_item, sealing
from tests.sync.chance import Chance

_KEM = b"KEM" + b"\x00\x20"  # DHKEM(X25519, HKDF-SHA256)
_HPKE = b"HPKE" + b"\x00\x20" + b"\x00\x01" + b"\x00\x02"  # with HKDF-SHA256 and AES-256-GCM


class SeededHpke:
    """In place of `sync.sealed.sealing.HPKE`, which decrypts what this one encrypts."""

    def __init__(self, chance: Chance, real: Suite) -> None:
        self._chance = chance
        self._real = real

    def encrypt(self, plaintext: bytes, public_key: X25519PublicKey, info: bytes = b"") -> bytes:
        """Base mode: the encapsulated key, then the ciphertext."""
        ephemeral = X25519PrivateKey.from_private_bytes(self._chance(32))
        encapsulated = ephemeral.public_key().public_bytes_raw()
        context = encapsulated + public_key.public_bytes_raw()
        shared = _extract(_KEM, b"", b"eae_prk", ephemeral.exchange(public_key))
        shared = _expand(_KEM, shared, b"shared_secret", context, 32)
        schedule = b"\0" + _extract(_HPKE, b"", b"psk_id_hash", b"") + _extract(_HPKE, b"", b"info_hash", info)
        secret = _extract(_HPKE, shared, b"secret", b"")
        key = _expand(_HPKE, secret, b"key", schedule, 32)
        nonce = _expand(_HPKE, secret, b"base_nonce", schedule, 12)
        return encapsulated + AESGCM(key).encrypt(nonce, plaintext, b"")

    def decrypt(self, ciphertext: bytes, private_key: X25519PrivateKey, info: bytes = b"") -> bytes:
        """As the real one."""
        return self._real.decrypt(ciphertext, private_key, info)


@contextmanager
def seeded_hpke(seed: int) -> Iterator[None]:
    """Whatever is wrapped in the block is wrapped by this seed."""
    with pytest.MonkeyPatch.context() as changed:
        seeded = SeededHpke(Chance(seed), sealing.HPKE)
        for module in (sealing, sealed_item):
            changed.setattr(module, "HPKE", seeded)
        yield


def _extract(suite: bytes, salt: bytes, label: bytes, given: bytes) -> bytes:
    return _hmac(salt, b"HPKE-v1" + suite + label + given)


def _expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """One block of HKDF-Expand is as long as anything that is asked for here."""
    return _hmac(key, length.to_bytes(2) + b"HPKE-v1" + suite + label + info + b"\x01")[:length]


def _hmac(key: bytes, data: bytes) -> bytes:
    made = hmac.HMAC(key or bytes(32), hashes.SHA256())
    made.update(data)
    return made.finalize()
