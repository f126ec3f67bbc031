"""The witness outside the line of command, such as an audit office: cosigns the logs it was told to watch, over HTTP.

DIR/witness.toml   which logs, where to listen
DIR/witness.skey   its key, for the owner alone
DIR/cosigned/      one file per log: the latest checkpoint it has cosigned, which it never goes behind
"""

import base64
import hashlib
import os
import threading
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import FastAPI, Request, Response

from domain.errors import DomainError
from gateway.hosting.clock import Clock, SharedClock, SystemClock
from gateway.hosting.config import ClockChoice, ConfigInvalid, Strict
from sync.proofs.note import COSIGNATURE_V1, Ed25519Signer, Signer, Verifier, parse_skey, parse_vkey
from sync.proofs.witness import MAX_REQUEST_BYTES, Witnessed, add_checkpoint
from sync.trust.keys import KeyFileExists, flush_folder, read_private, replace_private, write_private

_KEY = "witness.skey"
_CONFIG = "witness.toml"
_ALIKE = str.maketrans("0o1il", "00111")


class WitnessConfig(Strict, frozen=True, kw_only=True):
    """logs: the C2SP vkeys of the logs it watches."""

    name: str
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    logs: tuple[str, ...] = ()
    clock: ClockChoice = ClockChoice()


def found_witness(folder: Path, config: WitnessConfig) -> str:
    """Make the folder of a witness with a fresh key; returns its vkey. Raises KeyFileRefused.

    One that broke off is taken up by the same command: the configuration comes last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / _KEY
    if not key.exists() or (folder / _CONFIG).exists():
        signer = Ed25519Signer(config.name, COSIGNATURE_V1, os.urandom(32))
        write_private(key, f"{signer.skey}\n".encode())
    vkey = _signer(key).verifier
    if vkey.name != config.name:
        raise KeyFileExists(key)
    write_config(folder, config)
    return vkey.vkey


def _signer(path: Path) -> Signer:
    return parse_skey(read_private(path).decode().strip())


def write_config(folder: Path, config: WitnessConfig) -> None:
    """Write the configuration, such as after another log was added to those it watches."""
    plain = msgspec.to_builtins(config)
    clock = plain.pop("clock")
    lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in plain.items()]
    lines += ["", "[clock]", *(f"{key} = {msgspec.json.encode(value).decode()}" for key, value in clock.items())]
    replace_private(folder / _CONFIG, ("\n".join(lines) + "\n").encode())


class LogNameDoubtful(DomainError):
    """The log's name could be taken for another one's. Have the log named plainly, or give the right key."""

    code = "log_name_doubtful"

    def __init__(self, name: str, other: str) -> None:
        super().__init__(
            f"日志名 {name!a} 与 {other} 易混淆，未登记，请核对日志公钥",
            f"the log {name!a} could be taken for {other}; it is not watched; check the log's key",
            field="key",
        )


def watch(folder: Path, log_key: str) -> None:
    """Have the witness of `folder` cosign this log, too, from its next start.

    Raises ConfigInvalid, KeyInvalid, LogNameDoubtful.
    """
    config = load_config(folder)
    _check_name(parse_vkey(log_key).name, [config.name, *(parse_vkey(key).name for key in config.logs)])
    if log_key not in config.logs:
        write_config(folder, msgspec.structs.replace(config, logs=(*config.logs, log_key)))


def _check_name(name: str, others: Sequence[str]) -> None:
    """Names are compared byte for byte; people who compare them see less. Another key of the same log is no doubt."""
    if not name.isascii():
        raise LogNameDoubtful(name, "ASCII")
    for other in others:
        if name != other and _seen(name) == _seen(other):
            raise LogNameDoubtful(name, other)


def _seen(name: str) -> str:
    return "/".join(part for part in name.casefold().split("/") if part).translate(_ALIKE)


def held_of(folder: Path) -> list[tuple[str, int, int]]:
    """For each log watched: its name, the size cosigned last (0 for never), and when (POSIX seconds)."""
    store = FileStore(folder)
    names = dict.fromkeys(parse_vkey(key).name for key in load_config(folder).logs)
    held = [(name, store.witnessed(name)) for name in names]
    return [(name, state.size, state.time_s) if state else (name, 0, 0) for name, state in held]


def load_config(folder: Path) -> WitnessConfig:
    """Raises ConfigInvalid."""
    try:
        return msgspec.convert(tomllib.loads((folder / _CONFIG).read_text("utf-8")), WitnessConfig)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigInvalid(
            f"{folder / _CONFIG} 有误，请改正后重试 / is wrong, correct it and start again: {error}"
        ) from error


class _State(msgspec.Struct, frozen=True):
    size: int
    root: str
    note: str
    time_s: int = 0


class FileStore:
    """The witness's memory: one file per log, replaced whole and flushed before anything is signed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "cosigned"
        self._folder.mkdir(exist_ok=True)
        self._lock = threading.Lock()

    def witnessed(self, origin: str) -> Witnessed | None:
        """See sync.proofs.witness.WitnessStore."""
        try:
            state = msgspec.json.decode(self._path(origin).read_bytes(), type=_State)
        except FileNotFoundError:
            return None
        return Witnessed(state.size, base64.b64decode(state.root), state.note.encode(), state.time_s)

    def replace_witnessed(self, origin: str, before: Witnessed | None, after: Witnessed) -> bool:
        """See sync.proofs.witness.WitnessStore. One process: `run_witness` holds the folder."""
        with self._lock:
            if self.witnessed(origin) != before:
                return False
            state = _State(after.size, base64.b64encode(after.root).decode(), after.note.decode(), after.time_s)
            draft = self._path(origin).with_suffix(".new")
            with draft.open("wb") as file:
                file.write(msgspec.json.encode(state))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path(origin))
            flush_folder(self._folder)
            return True

    def _path(self, origin: str) -> Path:
        return self._folder / f"{hashlib.sha256(origin.encode()).hexdigest()}.json"


def build_witness(folder: Path, clock: Clock | None = None) -> FastAPI:
    """The application: `POST /add-checkpoint` of C2SP tlog-witness. clock: where it is not the configured one."""
    config = load_config(folder)
    signer = _signer(folder / _KEY)
    store = FileStore(folder)
    time_from = clock or (SharedClock(Path(config.clock.path)) if config.clock.kind == "shared" else SystemClock())
    trusted: dict[str, list[Verifier]] = {}
    for vkey in config.logs:
        verifier = parse_vkey(vkey)
        trusted.setdefault(verifier.name, []).append(verifier)
    app = FastAPI(title="Huiyin witness", docs_url=None, redoc_url=None)

    @app.post("/add-checkpoint")
    async def add(request: Request) -> Response:
        """Cosign a checkpoint that proves to continue the one cosigned before."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_REQUEST_BYTES:
                break
        answer = add_checkpoint(store, trusted, signer, bytes(body), time_from.now_us())
        return Response(answer.body, answer.status, media_type=answer.content_type)

    @app.get("/healthz")
    def healthy() -> Response:
        """It runs."""
        return Response("ok\n", media_type="text/plain")

    return app
