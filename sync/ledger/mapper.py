"""Turns event Structs into what the ledger stores and back: the exact JSON bytes, found by tag, never by class path."""

from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import (
    Cipher,
    Compressor,
    Mapper,
    MapperDeserialisationError,
    ProgrammingError,
    StoredEvent,
    Transcoder,
)


class StructTranscoder(Transcoder):
    """The bytes of one tagged union of Structs; an Application gives it by its `construct_transcoder`."""

    def __init__(self, encoder: msgspec.json.Encoder, decoder: "msgspec.json.Decoder[Any]") -> None:
        """decoder: of the union of all events, so that the tag in the bytes alone chooses the type."""
        self._encoder = encoder
        self._decoder = decoder

    def encode(self, obj: Any) -> bytes:
        """The Struct as JSON, fields in declaration order."""
        return self._encoder.encode(obj)

    def decode(self, data: bytes) -> Any:
        """The Struct. Raises: msgspec.ValidationError for an unknown tag or a field that does not fit."""
        return self._decoder.decode(data)


class StructMapper(Mapper[UUID]):
    """Stored state is the event's own bytes: what is hashed, signed and sent. Topic is its tag.

    An event is a tagged Struct with `stream` (a UUID or its text) and `version`. Nothing is ever imported by a name
    found in stored data. Encryption and compression would change the bytes and are refused.
    """

    def __init__(
        self, transcoder: Transcoder, compressor: Compressor | None = None, cipher: Cipher | None = None
    ) -> None:
        if not isinstance(transcoder, StructTranscoder) or compressor is not None or cipher is not None:
            raise ProgrammingError("StructMapper takes a StructTranscoder, no compressor and no cipher")
        super().__init__(transcoder)

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """The event's tag and exact bytes under its stream and version."""
        return StoredEvent(
            originator_id=_stream(domain_event),
            originator_version=domain_event.version,
            topic=_tag(domain_event),
            state=self.transcoder.encode(domain_event),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """The Struct. Raises: MapperDeserialisationError if the bytes do not decode, or are not what the row says."""
        try:
            event = self.transcoder.decode(stored_event.state)
        except msgspec.MsgspecError as e:
            raise MapperDeserialisationError(f"{stored_event.topic}: {e}") from e
        found = (_stream(event), event.version, _tag(event))
        if found != (stored_event.originator_id, stored_event.originator_version, stored_event.topic):
            raise MapperDeserialisationError(f"the row says {stored_event.topic}, its bytes say {found}")
        return event


def _stream(event: Any) -> UUID:
    return event.stream if isinstance(event.stream, UUID) else UUID(event.stream)


def _tag(event: Any) -> str:
    return str(event.__struct_config__.tag)
