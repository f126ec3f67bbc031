-- A letter is found by its leaf: an id that a node copied for a letter of its own hides no other.
alter table organ_item rename to organ_item_by_id;
create table organ_item (
    log_id int not null,
    seq bigint not null,
    item uuid not null,
    received_us bigint not null,
    primary key (log_id, seq)
);
insert into organ_item
select ledger.log_id, ledger.seq, item, received_us
from organ_item_by_id join public.ledger on ledger.stream = item and ledger.topic = 'sealed.item.v0';
drop table organ_item_by_id;
