-- One row per drop that a person accepted although its checks failed, the newest first.
select as_of, source, checks, waived_by, reason
from quality.waivers
where as_of between %(start)s and %(end)s
order by as_of desc, source
limit 200
