-- Since when there is a case, or a leg of it: no clock starts before that, however its event is dated.
create table begun (
    case_id uuid not null,
    subject uuid not null,             -- the case or the leg
    at_us bigint not null
);
create unique index begun_subject on begun (case_id, subject);
