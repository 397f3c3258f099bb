-- One row per as-of day of this load. The table's own check refuses a day whose lines are not all accounted for.
insert into quality.partitions (as_of, source, file_sha256, lines, raw_rows, quarantined_rows, state, run_id)
select
    drops.as_of,
    %(source)s,
    drops.file_sha256,
    drops.lines,
    coalesce(loaded.number, 0),
    coalesce(rejected.number, 0),
    'loaded',
    %(run_id)s
from unnest(%(days)s::date[], %(hashes)s::text[], %(lines)s::integer[]) as drops (as_of, file_sha256, lines)
left join (
    select as_of, count(*) as number from {raw} where as_of between %(start)s and %(end)s group by as_of
) as loaded using (as_of)
left join (
    select as_of, count(*) as number
    from quarantine.rows
    where source = %(source)s and as_of between %(start)s and %(end)s
    group by as_of
) as rejected using (as_of)
on conflict (as_of, source) do update
set file_sha256 = excluded.file_sha256,
    lines = excluded.lines,
    raw_rows = excluded.raw_rows,
    quarantined_rows = excluded.quarantined_rows,
    state = excluded.state,
    run_id = excluded.run_id,
    recorded_at = excluded.recorded_at
returning lines, raw_rows, quarantined_rows
