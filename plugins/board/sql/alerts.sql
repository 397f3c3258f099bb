-- One row per alert, the newest first.
select as_of, kind, subject, message, since, certainty, next_step, delivery
from ml.alerts
where as_of between %(start)s and %(end)s
order by as_of desc, recorded_at desc
limit 500
