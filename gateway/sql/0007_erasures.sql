-- Cases in which an erasure was confirmed: whatever is learned of them later is destroyed again.
create table erased_case (
    case_id uuid primary key
);
insert into erased_case
select distinct case_id from public.ledger where topic = 'erasure.confirmed.v0' and case_id is not null;
