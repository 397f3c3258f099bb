-- The ledger's days of scoring that were scored again: which version did, and how many rows.
update quality.stages
set detail = detail || jsonb_build_object('rows', scored.row_count, 'model_version', %(version)s),
    run_id = %(run_id)s,
    recorded_at = clock_timestamp()
from unnest(%(days)s::date[], %(rows)s::integer[]) as scored(as_of, row_count)
where stages.as_of = scored.as_of and stages.stage = 'scored'
