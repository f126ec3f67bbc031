-- Every time a case was passed on or fought over, as single facts.
create table dispute (
    case_id uuid not null,
    pos bigint not null,
    at_us bigint not null,
    kind text not null,                -- handed_over, objected, returned, ruled, lapsed, taken_over
    leg uuid not null,
    by_unit text collate "C" not null, -- who did it
    to_unit text collate "C",          -- who has the case after it, where it names one
    known_pos bigint not null,         -- see projections/moment.py: believed from there
    void_pos bigint not null           -- and no longer there; 9223372036854775807 while it is
);
create unique index dispute_pos on dispute (case_id, pos, void_pos);
