-- One row per as-of day, kind and subject. Returns whether it is still to be sent: 'failed' until a receiver has it.
insert into ml.alerts (as_of, kind, subject, message, since, certainty, next_step, delivery)
values (
    %(as_of)s, %(kind)s, %(subject)s, %(message)s, %(since)s, %(certainty)s, %(next_step)s, %(delivery)s
)
on conflict (as_of, kind, subject) do update
set message = excluded.message,
    since = excluded.since,
    certainty = excluded.certainty,
    next_step = excluded.next_step,
    delivery = case when alerts.delivery = 'failed' then excluded.delivery else alerts.delivery end
returning delivery = 'failed'
