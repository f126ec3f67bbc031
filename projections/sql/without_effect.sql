-- Events without effect: their author had no right to write them, or wrote them on a leg that a directive had taken away.
create table without_effect (
    case_id uuid not null,
    pos bigint not null,
    topic text not null,
    node text not null,                -- the author's division
    overtaken boolean not null,        -- by a directive or a lapse; false: no right to it, for good
    decided_pos bigint not null,       -- the event that decided so: this one, or a later one
    gone_pos bigint not null           -- the event since which it has effect again; 9223372036854775807 if none
);
create unique index without_effect_pos on without_effect (pos, decided_pos);
create index without_effect_decided on without_effect (decided_pos);
create index without_effect_gone on without_effect (gone_pos);
create index without_effect_case on without_effect (case_id);
