-- One row per case, as it stands now.
create table case_file (
    case_id uuid not null,
    number text not null,
    channel text not null,
    matter_class text not null,
    category text collate "C" not null,
    issue_region text collate "C" not null,
    received_on date not null,
    person_count bigint not null,
    filing_node text collate "C" not null,
    filing_unit text collate "C" not null,
    registered_us bigint not null,
    status text not null,              -- registered, received, handed_over, disputed, accepted, answered, declined, withdrawn, closed
    ending text,
    holder_node text collate "C" not null, -- who answers; of a closed case, who did last
    holder_unit text collate "C" not null,
    leg_count bigint not null,
    withdrawn_us bigint,
    closed_us bigint,
    rated_office text,
    rated_unit text,
    last_pos bigint not null,          -- last event that changed this row, and when this node learned it
    last_known_us bigint not null
);
create unique index case_file_id on case_file (case_id);
create index case_file_received on case_file (received_on desc, case_id desc);
create index case_file_holder on case_file (holder_node, received_on desc, case_id desc);
create index case_file_filing on case_file (filing_node, received_on desc, case_id desc);
create index case_file_region on case_file (issue_region, received_on desc, case_id desc);
create index case_file_category on case_file (category, received_on desc, case_id desc);
create index case_file_number on case_file (number);
