insert into quality.archives (source, month, state, path, row_count, checksum, file_sha256, as_of, run_id)
values (
    %(source)s, %(month)s, 'archived', %(path)s, %(row_count)s, %(checksum)s, %(file_sha256)s, %(as_of)s, %(run_id)s
)
on conflict (source, month) do update
set state = excluded.state,
    path = excluded.path,
    row_count = excluded.row_count,
    checksum = excluded.checksum,
    file_sha256 = excluded.file_sha256,
    as_of = excluded.as_of,
    run_id = excluded.run_id,
    recorded_at = clock_timestamp()
