-- What a node keeps to exchange its ledger with the nodes above and below it. Every row here is committed in one
-- transaction with what it speaks of.

-- What belongs to an event without standing in its leaf. Erasure takes parts away and leaves every proof valid.
create table beside (
    log_id int not null,
    seq bigint not null,
    part smallint not null,
    body bytea not null,
    primary key (log_id, seq, part)
);
alter table beside alter column body set storage external;

-- One row per log that this node holds without a gap: its own, and the replicas of those below it.
create table tree (
    log_id int primary key,
    size bigint not null,
    frontier bytea not null,           -- right edge of the Merkle tree at this size
    frozen text,                       -- why no more of this log is taken
    acked_size bigint not null,        -- the parent holds it up to here
    refused text                       -- why the parent takes no more of it
) with (fillfactor = 50);

-- Roots of the complete subtrees of 256^level leaves, level from 1; level 0 is ledger.leaf.
create table tile (
    log_id int not null,
    level smallint not null,
    num bigint not null,
    hash bytea not null,
    primary key (log_id, level, num)
);

-- Every head an author signed and this node verified; frames end exactly here.
create table checkpoint (
    log_id int not null,
    size bigint not null,
    root bytea not null,
    note text not null,
    primary key (log_id, size)
);

create table cosignature (
    log_id int not null,
    size bigint not null,
    witness text not null,             -- name of the witness key
    line text not null,                -- its note signature line
    at_us bigint not null,
    primary key (log_id, size, witness)
);

-- How a leaf learned from above is proven, and for whom it came.
create table enclosure (
    log_id int not null,
    seq bigint not null,
    addressed text[] not null,
    proof bytea not null,              -- inclusion path, lowest sibling first, 32 bytes each
    checkpoint text not null,
    primary key (log_id, seq)
);

create table certificate (
    division text not null,
    serial int not null,
    body text not null,                -- the signed certificate, verbatim
    primary key (division, serial)
);

create table child (
    division text primary key,
    down_size bigint not null,         -- last number given in its downward sequence
    down_acked bigint not null,        -- last number it has stored
    down_from bigint,                  -- it asked for its sequence again from this number on
    heard_us bigint not null           -- when its last record was dealt with
) with (fillfactor = 50);

-- The downward sequence of each child, kept until acknowledged and for a while longer.
create table down (
    child text not null,
    seq bigint not null,
    items bytea not null,
    at_us bigint not null,
    primary key (child, seq)
);

-- Frames that arrived before what they rest on; bounded per log.
create table parked (
    log text not null,
    first bigint not null,
    lane text not null,
    reason text not null,
    wants_log text not null,           -- taken up again once this log has grown
    wants_size bigint not null,        -- to at least this size
    record bytea not null,
    at_us bigint not null,
    primary key (log, first)
);
create index parked_wants on parked (wants_log, wants_size);

-- What went wrong, once per kind and subject, with the bytes that show it.
create table fault (
    kind text not null,
    subject text not null,
    child text not null,               -- the lane it came by, '' for none
    detail text not null,
    evidence bytea not null,
    count bigint not null,
    first_us bigint not null,
    last_us bigint not null,
    healed_us bigint,                  -- since when it is over
    primary key (kind, subject)
);

-- The question what the parent holds of this node's log, and its answer; at most one row.
create table held (
    nonce bytea primary key,
    size bigint,                       -- null until answered
    note text
);
