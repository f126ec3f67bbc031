-- The latest that each witness has said of a log: `cosignature` keeps the first word on a head, this one the last,
-- which is newer where a witness signed the same head again.
create table latest_cosignature (
    log_id int not null,
    witness text not null,
    size bigint not null,
    line text not null,
    at_us bigint not null,             -- when it came, by this node's clock
    primary key (log_id, witness)
);
