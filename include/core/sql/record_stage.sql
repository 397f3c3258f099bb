-- A day that came down the chain stays a day of the chain when a backfill passes over it again.
insert into quality.stages (as_of, stage, state, detail, run_id)
values (%(as_of)s, %(stage)s, %(state)s, %(detail)s, %(run_id)s)
on conflict (as_of, stage) do update
set state = excluded.state,
    detail = case when stages.detail ->> 'by' = 'chain' then stages.detail else excluded.detail end,
    run_id = excluded.run_id,
    recorded_at = excluded.recorded_at
