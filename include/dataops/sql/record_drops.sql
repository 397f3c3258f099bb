-- Every content that a drop has had stays in the ledger; the moment is that of its first load.
insert into quality.drops (as_of, source, file_sha256, file, lines, raw_rows, quarantined_rows, run_id)
select as_of, source, file_sha256, files.file, lines, raw_rows, quarantined_rows, run_id
from quality.partitions
join unnest(%(days)s::date[], %(files)s::text[]) as files (as_of, file) using (as_of)
where source = %(source)s
on conflict (as_of, source, file_sha256) do update
set file = excluded.file,
    lines = excluded.lines,
    raw_rows = excluded.raw_rows,
    quarantined_rows = excluded.quarantined_rows
