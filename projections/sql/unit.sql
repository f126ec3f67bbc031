-- Every office that can hold a leg, by name.
create table unit (
    unit text collate "C" primary key,
    name text not null,
    node text collate "C" not null,
    named_pos bigint not null          -- the event that says so
);
create index unit_node on unit (node);
