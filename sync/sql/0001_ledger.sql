-- Everything this node knows, in the order it learned it, and what must commit together with it.

create table log (
    id int primary key,
    origin text not null unique,       -- C2SP log origin, huiyin.example/<division>/<shard>
    division text not null,
    shard int not null
);

-- Exactly one row. Whoever may move pos under the present epoch is the node's writer.
create table head (
    epoch bigint not null,
    pos bigint not null,               -- last position given out
    own_size bigint not null,          -- leaves in this node's own log
    recorded_us bigint not null,       -- clock of the last position; never runs backwards
    turn bigint not null               -- the writer's transactions, counted: tells whether one that was cut off is in
) with (fillfactor = 20);
create unique index head_is_one_row on head ((true));
insert into head (epoch, pos, own_size, recorded_us, turn) values (0, 0, 0, 0, 0);

create table ledger (
    pos bigint primary key,            -- gapless from 1; given by head, so a tailing reader misses none
    log_id int not null,
    seq bigint not null,               -- 0-based leaf index in its author's log
    via smallint not null,             -- 0 own, 1 learned from below, 2 learned from above
    stream uuid not null,
    version int not null,
    topic text not null,               -- event tag, never a class path
    case_id uuid,
    body bytea not null,               -- exact bytes of the event: stored, hashed, sent
    leaf bytea not null,               -- RFC 6962 leaf hash of body
    known_us bigint not null,
    constraint ledger_via check (via between 0 and 2),
    constraint ledger_body check (octet_length(body) <= 65535)  -- what an entry bundle of C2SP tlog-tiles allows
);
create unique index ledger_log_seq on ledger (log_id, seq);
create unique index ledger_stream_version on ledger (stream, version) where via = 0;
create index ledger_case on ledger (case_id, pos) where case_id is not null;

-- A command repeated by a client finds its first answer here.
create table command (
    id uuid primary key,
    digest bytea not null,
    result bytea not null,
    pos bigint not null,               -- of its first event
    seq bigint not null,
    events int not null
);

-- How far a consumer of another sequence has come, committed with what it did.
create table tracking (
    application_name text primary key,
    notification_id bigint not null
);
