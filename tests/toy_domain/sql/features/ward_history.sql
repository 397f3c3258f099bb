-- One row per ward and as-of day: how many of the outcomes in the last three drops were long.
-- owner: reception
-- lookback: 3
-- entity: ward text, where
-- feature: long_share_3d double precision, share of long visits over 3 drops, null while there is none
with due as (
    select distinct as_of, ward
    from raw.visits
    where as_of between %(start)s and %(end)s and visit_date = as_of
)
select due.as_of, due.ward, sum(past.long)::double precision / sum(past.visits) as long_share_3d
from due
left join features.ward_tally as past
    on past.ward = due.ward and past.as_of between due.as_of - 2 and due.as_of
group by due.as_of, due.ward
