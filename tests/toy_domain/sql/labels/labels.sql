-- One row per visit whose outcome had landed by the drop of `known_at`: whether it took long.
select visit_date as as_of, visitor, minutes >= 30 as label, as_of as landed
from raw.visits
where minutes is not null
    and visit_date between %(start)s and %(end)s
    and as_of between %(start)s and %(known_at)s
