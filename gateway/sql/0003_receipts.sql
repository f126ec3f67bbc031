-- A citizen comes with the leaf hash of a registration and nothing else.
create index ledger_registered_leaf on public.ledger (leaf) where via = 0 and topic = 'case.registered.v0';
