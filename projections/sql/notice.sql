-- The holiday notices of the ledger, by the position from which they count.
create table notice (
    pos bigint primary key,
    year bigint not null,
    edition bigint not null,
    off date[] not null,
    working date[] not null,
    source text not null
);
