-- One row per claim: raised from .. to .., by position (when known here) and by time (when it happened).
create table claim (
    case_id uuid not null,
    claim uuid not null,
    opened_pos bigint not null,
    opened_us bigint not null,
    gone_pos bigint not null,          -- closed or dropped; 9223372036854775807 while it stands
    gone_us bigint not null,
    known_pos bigint not null,         -- see projections/moment.py: believed from there
    void_pos bigint not null           -- and no longer there; 9223372036854775807 while it is
);
create unique index claim_id on claim (case_id, claim, void_pos);
