-- At most one row: what the scoring of `as_of` still has to wait for.
-- The day before counts only if it came down the chain and passed its checks or was waived: a day that was only
-- backfilled, or that halted, is never monitored.
select previous.as_of, 'is not monitored yet' as what
from quality.stages as previous
where previous.as_of = %(as_of)s::date - 1
    and previous.stage = 'checked'
    and previous.state in ('done', 'waived')
    and previous.detail ->> 'by' = 'chain'
    and not exists (
        select 1 from quality.stages where as_of = previous.as_of and stage = 'monitored'
    )
union all
select asked.as_of, 'asked for a training that is not decided yet'
from quality.stages as asked
where asked.as_of < %(as_of)s
    and asked.stage = 'monitored'
    and (asked.detail ->> 'retrain')::boolean
    and not exists (
        select 1 from quality.stages where as_of = asked.as_of and stage = 'decided'
    )
order by 1
limit 1
