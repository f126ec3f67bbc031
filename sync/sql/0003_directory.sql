-- The order in which certificates became known here, by which those below are told of them.
alter table certificate add column num bigint;
update certificate set num = numbered.num
from (select division, serial, row_number() over (order by serial, division) as num from certificate) numbered
where certificate.division = numbered.division and certificate.serial = numbered.serial;
alter table certificate alter column num set not null;
create unique index certificate_num on certificate (num);

-- Sealed items that this node writes for an organ below, whose name stands in no event.
create table onward (
    item uuid primary key,
    division text not null
);
