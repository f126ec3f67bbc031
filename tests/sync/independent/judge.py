"""Our verifier as a program: on each line in a question about a proof, on each line out what comes of it.

transparency-dev/merkle's own tests ask through testdata/verify.go.
"""

import sys
from base64 import b64decode, b64encode
from typing import Any

import msgspec

from sync.proofs.merkle import ProofInvalid, root_from_inclusion, verify_consistency, verify_inclusion


def judged(asked: dict[str, Any]) -> bytes:
    """What was asked about, once it holds; for a root, the root. Raises ProofInvalid."""
    leaf, old_root, root = (b64decode(asked[name] or "") for name in ("Leaf", "OldRoot", "Root"))
    proof = [b64decode(step) for step in asked["Proof"] or []]
    match asked["Kind"]:
        case "inclusion":
            verify_inclusion(asked["Index"], asked["Size"], leaf, proof, root)
        case "root":
            return root_from_inclusion(asked["Index"], asked["Size"], leaf, proof)
        case "consistency":
            verify_consistency(asked["OldSize"], asked["Size"], old_root, root, proof)
    return root


if __name__ == "__main__":
    for line in sys.stdin.buffer:
        try:
            answer = {"Refused": "", "Root": b64encode(judged(msgspec.json.decode(line))).decode()}
        except ProofInvalid as error:
            answer = {"Refused": str(error), "Root": ""}
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()
