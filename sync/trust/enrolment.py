"""What a node checks of the file that its superior handed back, before it becomes that node."""

import msgspec

from domain.divisions import Division
from sync.trust.certificates import CertificateRefused, Enrolment, Request, verify_chain


def read_enrolment(data: bytes) -> Enrolment:
    """The enrolment in a superior's file, none of it verified. Raises CertificateRefused: nothing but its own bytes."""
    try:
        found = msgspec.json.decode(data, type=Enrolment)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise CertificateRefused("malformed", "登记结果格式不对", f"no enrolment: {error}") from error
    if msgspec.json.encode(found) != data:
        raise CertificateRefused("malformed", "登记结果写法不唯一", "its JSON is not canonical")
    return found


def verify_enrolment(given: Enrolment, request: Request, parent: Division | None) -> None:
    """That this is what `parent` signed for the node of `request`, and nothing else. Raises CertificateRefused."""
    directory = verify_chain(given.certificates, given.root_fingerprint)
    own = directory.division(request.division)
    if own is None or own.certificate.parent != parent or given.certificates != directory.chain(request.division):
        raise CertificateRefused("another_node", "不是本节点的登记结果", "it enrols another node, or below another one")
    asked = (request.name, request.tier, request.origin, request.keys)
    said = own.certificate
    if (said.name, said.tier, said.origin, said.keys) != asked:
        raise CertificateRefused("another_request", "与本节点的密钥或申请不符", "it certifies other keys or facts")
