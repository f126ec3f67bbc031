-- The holiday notices of the ledger, by the position from which they count.
create table notice (
    pos bigint primary key,
    body text not null                 -- the JSON text of a domain.calendar.Notice
);
