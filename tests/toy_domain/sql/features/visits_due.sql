-- One row per visit due on the as-of day: who comes, and where.
-- owner: reception
-- lookback: 1
-- entity: visitor text, who comes
-- entity: ward text, where
-- feature: ward text, where
-- feature: age integer, years
select as_of, visitor, ward, age
from raw.visits
where as_of between %(start)s and %(end)s and visit_date = as_of
