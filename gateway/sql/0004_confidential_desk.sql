-- Sealed letters that this node's own keys open: only that they are here and since when.
create table organ_item (
    item uuid primary key,
    received_us bigint not null
);
