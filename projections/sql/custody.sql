-- Who answered for a case from when to when. A leg that was closed and opened again by a new claim has two rows.
create table custody (
    case_id uuid not null,
    leg uuid not null,
    unit text collate "C" not null,
    node text collate "C" not null,
    mode text not null,
    from_leg uuid,
    directed_by text collate "C",      -- <division>/<event> of the directive that gave the leg, if one did
    objection uuid,                    -- the one that stands, and the division that has to rule
    ruler text collate "C",
    opened_pos bigint not null,
    opened_us bigint not null,
    gone_pos bigint not null,          -- 9223372036854775807 while it lasts
    gone_us bigint not null,
    known_pos bigint not null,         -- see projections/moment.py: believed from there
    void_pos bigint not null           -- and no longer there; 9223372036854775807 while it is
);
create unique index custody_leg on custody (case_id, opened_pos, void_pos);
create index custody_node_pos on custody (node, gone_pos);
create index custody_node_us on custody (node, gone_us);
