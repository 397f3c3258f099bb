insert into features.partitions (view, as_of, version, row_count)
select %(view)s, built.as_of, %(version)s, built.row_count
from unnest(%(days)s::date[], %(counts)s::integer[]) as built (as_of, row_count)
on conflict (view, as_of) do update
set version = excluded.version, row_count = excluded.row_count
