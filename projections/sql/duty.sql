-- One row per version of a clock: set by an event that started, extended or recomputed it, gone when it was
-- replaced by the next version or stopped. So every past answer can be given again.
create table duty (
    case_id uuid not null,
    subject uuid not null,             -- with the rule it names the clock, the same on every node
    rule text not null,
    leg uuid,
    unit text collate "C",             -- null: whichever unit holds the case
    node text collate "C",
    start_us bigint not null,
    fixed date,
    extra_days bigint not null,
    due_on date not null,
    due_us bigint not null,            -- end of that day in China, exclusive
    soon_us bigint not null,
    promise_us bigint,
    provisional boolean not null,      -- a holiday notice still to come may move it
    set_pos bigint not null,
    set_us bigint not null,
    gone_pos bigint not null,          -- 9223372036854775807 while it runs
    gone_us bigint not null,
    is_stopped boolean not null,       -- gone because its duty was done, not because of a newer version
    known_pos bigint not null,         -- see projections/moment.py: believed from there
    void_pos bigint not null           -- and no longer there; 9223372036854775807 while it is
);
create unique index duty_version on duty (case_id, subject, rule, set_pos, void_pos);
create index duty_node_pos on duty (node, gone_pos);
create index duty_node_us on duty (node, gone_us);
create index duty_order on duty (node) where rule = 'supervision_reply';
