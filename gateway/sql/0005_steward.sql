-- What the node still has to do by itself, and how far it has read its ledger for that.
create table steward (
    one boolean primary key default true check (one),
    pos bigint not null
);
insert into steward (pos) values (0);

-- Objections raised by units of this node: five working days of silence end them.
create table objection_watch (
    objection uuid primary key,
    case_id uuid not null
);

-- Requests for enrolment that the command line left for the running node, and its answers.
create table enrolling (
    request text primary key,
    bundle bytea,
    refusal text
);

-- Notices of holidays are few and all of them are read at once.
create index ledger_calendar on public.ledger (pos) where topic = 'calendar.noticed.v0';

-- The last own note of accepted heads, to see what came after it.
create index ledger_own_heads on public.ledger (pos) where topic = 'node.heads.v0' and via = 0;
