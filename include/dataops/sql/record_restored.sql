update quality.archives
set state = 'restored', run_id = %(run_id)s, recorded_at = clock_timestamp()
where source = %(source)s and month = %(month)s
