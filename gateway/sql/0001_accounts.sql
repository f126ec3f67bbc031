-- Who may sign in at this node, and who is signed in. Nothing here travels to another node.

create table web.account (
    id uuid primary key,                 -- the pseudonym that events carry
    login text not null unique,
    name text not null,
    password text not null,              -- argon2id, with its parameters
    role text not null check (role in ('citizen', 'clerk', 'handler', 'leader', 'supervisor', 'auditor', 'operator')),
    unit text not null,
    discipline boolean not null default false,  -- may open sealed letters to this organ
    created_us bigint not null,
    closed_us bigint
);

create table web.session (
    token_hash bytea primary key,        -- SHA-256; the token itself is only in the browser
    id uuid not null unique,             -- what an operator names when ending it
    account uuid not null references web.account,
    csrf text not null,
    network text not null,
    created_us bigint not null,
    seen_us bigint not null,
    ends_us bigint not null
);
create index session_of_account on web.session (account);

create table web.attempt (               -- failed or unfinished attempts to sign in, for an hour
    login text not null,
    network text not null,
    at_us bigint not null
);
create index attempt_by_login on web.attempt (login, at_us);
create index attempt_by_network on web.attempt (network, at_us);

create table web.administration (        -- what operators did to accounts; never updated
    at_us bigint not null,
    by_account uuid,                     -- null: the command line on the machine itself
    account uuid not null references web.account,
    what text not null
);
create index administration_in_time on web.administration (at_us);
