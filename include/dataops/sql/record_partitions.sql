-- One row per as-of day of this load. The table's own check refuses a day whose lines are not all accounted for.
insert into quality.partitions (as_of, source, file_sha256, lines, raw_rows, quarantined_rows, state, run_id)
select
    drops.as_of,
    %(source)s,
    drops.file_sha256,
    coalesce(lines.number, 0),
    coalesce(loaded.number, 0),
    coalesce(rejected.number, 0),
    'loaded',
    %(run_id)s
from unnest(%(days)s::date[], %(hashes)s::text[]) as drops (as_of, file_sha256)
left join (select as_of, count(*) as number from staged group by as_of) as lines using (as_of)
left join loaded using (as_of)
left join (
    select as_of, count(*) as number
    from quarantine.rows
    where source = %(source)s and as_of = any (%(days)s::date[])
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
