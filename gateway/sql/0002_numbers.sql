-- The last number given to each kind of paper in each year; written in the transaction that records the paper.
create table paper_number (
    kind text not null,
    year integer not null,
    last bigint not null,
    primary key (kind, year)
);
