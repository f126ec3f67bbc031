-- Faults are counted by the child by whose lane they came, and bounded for each.
create index fault_child on fault (child);
