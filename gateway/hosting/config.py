"""A node's configuration: one TOML file, read once, every field with its unit and its default."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from domain.clocks import Language
from domain.divisions import Division, Tier
from domain.shards import MAX_SHARD
from sync.trust.keys import replace_private

FILE_NAME = "node.toml"


class ConfigInvalid(ValueError):
    """The file is missing, unreadable or has a wrong field. Correct the named line and start again."""


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section in which a misspelt key is an error instead of a silent default."""


class Identity(Strict, frozen=True, kw_only=True):
    """Who this node is. trust_domain: the first part of every log origin of this hierarchy.

    review_organ: who reviews this organ's opinions (Art. 35), as its papers name them; in the law's general words
    where it is empty.
    """

    division: Division
    name: str
    tier: Tier
    trust_domain: str
    parent: Division | None = None
    shard: Annotated[int, msgspec.Meta(ge=1, le=MAX_SHARD)] = 1
    review_organ: Annotated[str, msgspec.Meta(max_length=100)] = ""


class Http(Strict, frozen=True, kw_only=True):
    """Where it listens. public_url: what receipts and QR codes point to; the address itself by default.

    language: of pages for whoever has not chosen one.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 8410
    public_url: str = ""
    language: Language = "zh"


class Database(Strict, frozen=True, kw_only=True):
    """dsn: a PostgreSQL 15 to 18; empty starts the one that the package brings, in the node's folder."""

    dsn: str = ""


class ChannelEnd(Strict, frozen=True, kw_only=True):
    """One side's channel. kind: which implementation; dsn: the database that both ends of the link can reach."""

    kind: Literal["postgres"] = "postgres"
    dsn: str


class Channels(Strict, frozen=True, kw_only=True):
    """up: towards the parent, none at the root; down: towards the children, none at a leaf."""

    up: ChannelEnd | None = None
    down: ChannelEnd | None = None


class ClockChoice(Strict, frozen=True, kw_only=True):
    """kind: the machine's clock, or the demo's shared one at `path`."""

    kind: Literal["system", "shared"] = "system"
    path: str = ""


class OutsideWitness(Strict, frozen=True, kw_only=True):
    """The witness outside the line of command that cosigns the root's log: its address and its key.

    before: the keys that this one followed, oldest first: what they have cosigned stays proven.
    """

    url: str
    key: str
    before: tuple[str, ...] = ()


class FurtherWitness(Strict, frozen=True, kw_only=True):
    """A witness more, outside the line of command. name: within the policy; url, key: as for the root's outside one."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
    url: str
    key: str


class PolicyChoice(Strict, frozen=True, kw_only=True):
    """Who, besides the superior or the root's outside witness, cosigns this node's log.

    needed: how many of `witnesses` a receipt must show: `any`, `all`, a number, or `none`: asked, but not waited for.
    """

    needed: Annotated[str, msgspec.Meta(pattern=r"^(none|any|all|[1-9][0-9]?)$")] = "all"
    witnesses: tuple[FurtherWitness, ...] = ()


class NodeConfig(Strict, frozen=True, kw_only=True):
    """The whole file."""

    node: Identity
    http: Http = Http()
    database: Database = Database()
    channel: Channels = Channels()
    clock: ClockChoice = ClockChoice()
    witness: OutsideWitness | None = None
    policy: PolicyChoice = PolicyChoice()

    @property
    def origin(self) -> str:
        """The C2SP origin of this node's log."""
        return f"{self.node.trust_domain}/{self.node.division}/{self.node.shard}"

    @property
    def language(self) -> Language:
        """The language of pages for whoever has not chosen one."""
        return self.http.language

    @property
    def url(self) -> str:
        """Where people reach this node."""
        return self.http.public_url or f"http://{self.http.host}:{self.http.port}"


def load(folder: Path) -> NodeConfig:
    """The configuration in `folder`. Raises ConfigInvalid with the path of the wrong field."""
    path = folder / FILE_NAME
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), NodeConfig)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigInvalid(
            f"{folder} 中没有 {FILE_NAME}，请先运行 huiyin node init / no {FILE_NAME} here, run `huiyin node init` "
            "first"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigInvalid(
            f"{path} 有误，请改正后重试 / {path} is wrong, correct it and start again: {error}"
        ) from error


def check(folder: Path, config: NodeConfig) -> None:
    """Raises ConfigInvalid where what would be written to `folder` could not be loaded from there."""
    try:
        msgspec.convert(msgspec.to_builtins(config), NodeConfig)
    except msgspec.ValidationError as error:
        raise ConfigInvalid(
            f"{folder} 未建立，请更正所给的值 / {folder} was not founded, correct the value: {error}"
        ) from error


def require_links(config: NodeConfig) -> None:
    """Raises ConfigInvalid where nobody would ever cosign this node's log: it would run, and be heard by no one."""
    if config.node.parent is not None and config.channel.up is None:
        raise ConfigInvalid(
            f"有上级的节点须在 {FILE_NAME} 中写明 [channel.up] 的 dsn / a node below another one needs the dsn of its "
            f"[channel.up] in {FILE_NAME}"
        )
    if config.node.parent is None and config.witness is None:
        raise ConfigInvalid(
            f"根节点须在 {FILE_NAME} 中写明 [witness] 的 url 和 key / a root needs the url and the key of its outside "
            f"[witness] in {FILE_NAME}"
        )


def write(folder: Path, config: NodeConfig) -> None:
    """Write `config` as TOML, whole or not at all, leaving out what stands at its default."""
    text = "".join(_section(name, value) for name, value in _plain(config).items())
    replace_private(folder / FILE_NAME, text.encode())


def _plain(config: NodeConfig) -> dict[str, dict[str, object]]:
    given: dict[str, dict[str, object]] = msgspec.to_builtins(config)
    if config.policy == PolicyChoice():
        del given["policy"]
    return {name: section for name, section in given.items() if section}


def _section(name: str, values: dict[str, object]) -> str:
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    rows = [(key, row) for key, value in values.items() if _is_table_array(value) for row in value]  # type: ignore[attr-defined]
    lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values.items() if _is_leaf(value)]
    own = f"[{name}]\n" + "\n".join(lines) + "\n\n" if lines else ""
    own += "".join(_section(f"{name}.{key}", table) for key, table in tables.items())
    return own + "".join("[" + _section(f"{name}.{key}", row).replace("]", "]]", 1) for key, row in rows)


def _is_table_array(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(row, dict) for row in value)


def _is_leaf(value: object) -> bool:
    return value is not None and value != "" and not isinstance(value, dict) and not _is_table_array(value)
