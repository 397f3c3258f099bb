-- One row per visit and drop that brought its outcome: whether it took long.
-- owner: reception
-- lookback: 1
-- entity: event_day date, the day of the visit
-- entity: visitor text, who comes
-- feature: label boolean, 30 minutes or more
select as_of, visit_date as event_day, visitor, minutes >= 30 as label
from raw.visits
where as_of between %(start)s and %(end)s and minutes is not null
