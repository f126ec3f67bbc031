-- Events without effect: their author had no right to write them, or wrote them on a leg that a directive had taken away.
create table without_effect (
    case_id uuid not null,
    pos bigint not null,
    topic text not null,
    node text not null,                -- the author's division
    overtaken boolean,                 -- null: no right to it, for good; false: what had overtaken it has ended
    decided_pos bigint not null        -- the event that decided so: this one, or a later one
);
create unique index without_effect_pos on without_effect (pos);
create index without_effect_decided on without_effect (decided_pos);
create index without_effect_case on without_effect (case_id) where overtaken is not null;
