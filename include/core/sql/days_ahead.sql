-- One row: how many days of the chain before `as_of` passed their checks and are not monitored yet.
select count(*)
from quality.stages as checked
where checked.as_of < %(as_of)s
    and checked.stage = 'checked'
    and checked.state in ('done', 'waived')
    and checked.detail ->> 'by' = 'chain'
    and not exists (
        select 1 from quality.stages where as_of = checked.as_of and stage = 'monitored'
    )
