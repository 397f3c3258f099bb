-- One row per change of the champion, in the order of decision.
-- A promotion is decided on the day before it takes effect, a rollback on the last day that was scored, and what it
-- changes may begin long before. The order of recording tells apart only what was decided on one day.
select
    challenger_version,
    case outcome when 'rolled_back' then champion_version end as rolled_back,
    effective_from
from ml.decisions
where outcome <> 'rejected'
order by case outcome when 'rolled_back' then as_of else effective_from - 1 end, recorded_at
