-- How far each projection has come; moves in the transaction that writes its rows.
create table position (
    projection text primary key,
    pos bigint not null,               -- last ledger position whose events are in its tables, or parked
    shape text not null                -- of its tables and of its folding; another than the program's: they are made anew
);
