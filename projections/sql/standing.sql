-- Who stands where in each case, by which an event is judged: the JSON text of a `projections.authority.Judged`.
create table standing (
    case_id uuid not null,
    body text not null
);
create unique index standing_case on standing (case_id);
