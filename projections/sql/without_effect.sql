-- Events whose author had no right to write them, or wrote them on a leg that a directive had taken away.
create table without_effect (
    case_id uuid not null,
    pos bigint not null,
    topic text not null,
    node text not null                 -- the author's division
);
create unique index without_effect_pos on without_effect (pos);
