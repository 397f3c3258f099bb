-- A decision that was made stands.
insert into quality.stages (as_of, stage, state, run_id)
values (%(as_of)s, 'decided', 'failed', %(run_id)s)
on conflict (as_of, stage) do nothing
