-- Where an event of a newer version stands in the way, the steward acts once the node understands it: after an upgrade.
create table steward_later (
    pos bigint primary key
);

-- When a silent objection can end at the earliest; 0: not known yet.
alter table objection_watch add column look_us bigint not null default 0;

-- Up to which position the heads that other logs had reached are noted.
alter table steward add column noted_pos bigint not null default 0;
drop index public.ledger_own_heads;
