-- Events that wait, of a case that a projection could not go on with.
create table parked (
    projection text not null,
    pos bigint not null,
    key uuid not null,                 -- the case, or the stream of an event that concerns none
    topic text not null,
    reason text not null,              -- why, on the first of a key; empty on those that wait behind it
    known_us bigint not null,
    primary key (projection, pos)
);
create index parked_key on parked (projection, key, pos);
