-- Which log this node writes now; null until its first one is known. A later shard has a row of its own in log.
alter table head add column log_id int;
update head set log_id = (select min(id) from log);
