-- One row per ward and drop: how many outcomes it brought, and how many were long.
-- owner: reception
-- lookback: 1
-- entity: ward text, where
-- feature: visits integer, outcomes
-- feature: long integer, outcomes of 30 minutes or more
select as_of, ward, count(*)::integer as visits, (count(*) filter (where minutes >= 30))::integer as long
from raw.visits
where as_of between %(start)s and %(end)s and minutes is not null
group by 1, 2
