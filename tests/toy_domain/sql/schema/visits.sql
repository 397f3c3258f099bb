-- One row per visit that is due (without minutes) or over (with them), in the drop that it came in.
create table if not exists raw.visits (
    as_of      date    not null,
    line       integer not null,
    visitor    text    not null,
    ward       text    not null,
    age        integer not null,
    visit_date date    not null,
    minutes    integer,
    primary key (as_of, visitor, visit_date)
) partition by range (as_of);
