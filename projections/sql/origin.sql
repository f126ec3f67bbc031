-- Which node writes which log.
create table origin (
    log_id bigint primary key,
    node text collate "C" not null,
    is_own boolean not null
);
create index origin_node on origin (node);
