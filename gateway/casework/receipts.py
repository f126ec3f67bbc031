"""What the citizen is given: a signed promise at filing, and once the parent has cosigned, the proof."""

import hmac
import unicodedata
from collections.abc import Callable
from typing import Final, NamedTuple

from domain.errors import DomainError
from domain.events import CaseId, Registered, encode
from gateway.casework.case_files import CaseFiles
from gateway.casework.readings import Readings
from sync.ledger.reading import LedgerReader
from sync.proofs.merkle import leaf_hash
from sync.proofs.note import Signer, parse_note
from sync.proofs.receipt import promise, promise_receipt, proof_receipt
from sync.proofs.tree import Proof
from sync.trust.keys import CommandSecret

PROMISE_US = 24 * 3_600_000_000
"""By when a filing must stand in the log under a cosigned head."""

_MISTAKEN: Final = str.maketrans("018", "OIB")


class ReceiptUnknown(DomainError):
    """No filing here has this receipt. Use the one that was given, at the office that gave it."""

    code = "receipt_unknown"

    def __init__(self) -> None:
        super().__init__(
            "没有找到该回执对应的信访事项，请核对回执，或到出具回执的单位查询",
            "no filing here has this receipt; check it, or ask the office that gave it",
            field="receipt",
        )


class RatingCodeWrong(DomainError):
    """This is not the rating code on the receipt. Type that one, or show the whole receipt file."""

    code = "rating_code_wrong"

    def __init__(self) -> None:
        super().__init__(
            "评价码不正确，请核对回执上的10位评价码，或改用完整的回执文件",
            "this is not the rating code of ten characters on the receipt; check it, or use the whole receipt file",
            field="rating_code",
        )


class Receipts:
    """Receipts of what was filed on this node."""

    def __init__(
        self,
        origin: str,
        intake: Signer,
        files: CaseFiles,
        readings: Readings,
        proof: Callable[[int, int], Proof | None],
        secret: CommandSecret,
        reader: LedgerReader,
    ) -> None:
        """proof: of an own leaf by log and index, once its parent has cosigned."""
        self._origin = origin
        self._intake = intake
        self._files = files
        self._readings = readings
        self._proof = proof
        self._secret = secret
        self._reader = reader

    def of(self, case: CaseId) -> "Receipt":
        """The receipt as it stands now. The promise is the same bytes however often it is asked for.

        Raises ReceiptUnknown where the case was filed elsewhere, and as `Readings.openings`.
        """
        known = self._files.get(case)
        registered = known.file.registered if known else None
        if known is None or registered is None or not known.places[registered.id].is_own:
            raise ReceiptUnknown
        body = encode(registered)
        openings = self._readings.openings(case, registered.id)
        stands = known.places[registered.id]
        proof = self._proof(stands.log_id, stands.seq)
        if proof is not None:
            note = parse_note(proof.checkpoint.encode())
            data = proof_receipt(body, proof.index, proof.path, note, openings)
            return Receipt(registered, leaf_hash(body), data, self.rating_code(case), is_proof=True)
        made_us = registered.recorded_us
        note = promise(self._intake, self._origin, body, made_us, made_us + PROMISE_US)
        data = promise_receipt(note, body, openings)
        return Receipt(registered, leaf_hash(body), data, self.rating_code(case), is_proof=False)

    def rating_code(self, case: CaseId) -> str:
        """What is printed on the case's receipt for rating: the leaf hash is known to the offices that are rated."""
        return self._secret.rating_code(case)

    def check_rating_code(self, case: CaseId, given: str) -> None:
        """RatingCodeWrong unless `given` is the case's, however it was typed."""
        plain = "".join(unicodedata.normalize("NFKC", given).upper().replace("-", " ").split()).translate(_MISTAKEN)
        if not hmac.compare_digest(plain.encode(), self.rating_code(case).encode()):
            raise RatingCodeWrong

    def find(self, leaf: bytes) -> CaseId:
        """The case whose registration has this leaf hash. Raises ReceiptUnknown."""
        case = self._reader.filed(leaf)
        if case is None:
            raise ReceiptUnknown
        return CaseId(case)


class Receipt(NamedTuple):
    """One receipt. leaf: the registration's leaf hash, which is all that its QR carries besides a locator.

    rating_code: printed beside it and told to nobody else.
    """

    registered: Registered
    leaf: bytes
    data: bytes
    rating_code: str
    is_proof: bool

    @property
    def due_us(self) -> int:
        """By when the filing must stand in the log."""
        return self.registered.recorded_us + PROMISE_US
