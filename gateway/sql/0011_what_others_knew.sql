-- Which head beyond a leaf a tier cosigned or noted first: see gateway/reading/knowing.py.
create index ledger_heads on public.ledger (log_id, pos) where topic = 'node.heads.v0';
create index cosignature_witness on public.cosignature (log_id, witness, size);
