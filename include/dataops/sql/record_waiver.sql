-- Who accepted the file of this day, and why. The last word on a file counts.
insert into quality.waivers (as_of, source, file_sha256, checks, waived_by, reason, run_id)
select as_of, source, file_sha256, %(checks)s, %(by)s, %(reason)s, %(run_id)s
from quality.partitions
where as_of = %(as_of)s and source = %(source)s
on conflict (as_of, source, file_sha256) do update
set checks = excluded.checks,
    waived_by = excluded.waived_by,
    reason = excluded.reason,
    run_id = excluded.run_id,
    recorded_at = excluded.recorded_at
