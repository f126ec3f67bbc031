-- Events that an operator decided to leave out of a projection. No rebuild forgets it.
create table skipped (
    projection text not null,
    pos bigint not null,
    key uuid not null,
    topic text not null,
    reason text not null,
    account uuid not null,
    primary key (projection, pos)
);
