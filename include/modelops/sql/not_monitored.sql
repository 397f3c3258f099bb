-- One row per day before `as_of` that went through scoring and was never monitored.
select scored.as_of
from quality.stages as scored
left join quality.stages as monitored on monitored.as_of = scored.as_of and monitored.stage = 'monitored'
where scored.stage = 'scored' and scored.as_of < %(as_of)s and monitored.as_of is null
order by scored.as_of
