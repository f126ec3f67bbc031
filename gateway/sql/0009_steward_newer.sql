-- From which position on something waits for a newer version; null where nothing does.
alter table steward add column newer_pos bigint;
