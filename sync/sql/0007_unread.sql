-- What a newer parent said and this program cannot read: looked at again after an upgrade, for as long as backups last.
create table unread (
    seq bigint not null,               -- number in the downward sequence
    num int not null,                  -- which of its items
    item bytea not null,
    at_us bigint not null,
    primary key (seq, num)
);

-- The newest edition of shapes that the child says it can read; 0 until it has said so.
alter table child add column knows int not null default 0;
