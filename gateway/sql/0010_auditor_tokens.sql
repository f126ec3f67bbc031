-- With what an auditor's programs read this node's logs, and nothing else: made by an operator, shown once.

create table web.auditor_token (
    id uuid primary key,                 -- what an operator names when revoking it
    token_hash bytea not null unique,    -- SHA-256; the token itself is only with the auditor
    account uuid not null references web.account,
    made_us bigint not null,
    ends_us bigint not null,
    revoked_us bigint,
    seen_us bigint                       -- last used; null: never
);
create index auditor_token_of_account on web.auditor_token (account);
