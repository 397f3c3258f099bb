-- Who accepted the files of these days, and why. The last word on a file counts.
insert into quality.waivers (as_of, source, file_sha256, checks, waived_by, reason, run_id)
select as_of, source, file_sha256, %(checks)s, %(by)s, %(reason)s, %(run_id)s
from quality.partitions
where source = %(source)s and as_of between %(start)s and %(end)s
on conflict (as_of, source, file_sha256) do update
set checks = excluded.checks,
    waived_by = excluded.waived_by,
    reason = excluded.reason,
    run_id = excluded.run_id,
    recorded_at = excluded.recorded_at
