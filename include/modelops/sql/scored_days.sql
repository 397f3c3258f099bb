-- One row per day from `since` on that went through scoring.
select as_of
from quality.stages
where stage = 'scored' and as_of >= %(since)s
order by as_of
