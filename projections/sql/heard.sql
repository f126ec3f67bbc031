-- When each log was heard of, in steps of ten minutes of this node's clock, so that the past can be asked too.
create table heard (
    log_id bigint not null,
    step bigint not null,              -- known_us in tens of minutes
    first_pos bigint not null,
    last_pos bigint not null,
    last_known_us bigint not null,
    primary key (log_id, step)
);
