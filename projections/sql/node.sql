-- Every node that this one has heard of, by name, and whom it answers to.
create table node (
    division text collate "C" primary key,
    name text not null,
    parent text collate "C",
    named_pos bigint not null          -- the event that says so
);
create index node_parent on node (parent);
