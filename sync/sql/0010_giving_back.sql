-- Children that lost their disk and are being given back what this node holds for them.
create table giving_back (
    child text primary key,
    nonce bytea not null,              -- of the child's question, repeated in the answer
    pos bigint not null                -- ledger position up to which everything is on its way; -1 once all is
);
