-- The ledger's row of every day of [start, end]: rows, the drops they were made from, and how far back these go.
insert into features.partitions (view, as_of, version, row_count, inputs, history_days)
select
    %(view)s,
    days.as_of::date,
    %(version)s,
    coalesce(built.row_count, 0),
    features.inputs_of(%(sources)s::text[], %(reach)s::integer, days.as_of::date),
    least(%(reach)s::integer, days.as_of::date - %(first_day)s::date + 1)
from generate_series(%(start)s::date, %(end)s::date, interval '1 day') as days (as_of)
left join (
    select as_of, count(*) as row_count from {table} where as_of between %(start)s and %(end)s group by as_of
) as built on built.as_of = days.as_of::date
on conflict (view, as_of) do update
set version = excluded.version,
    row_count = excluded.row_count,
    inputs = excluded.inputs,
    history_days = excluded.history_days
returning row_count
