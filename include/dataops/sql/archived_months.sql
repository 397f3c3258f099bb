-- One row per source and month that is archived and that the days from the first of a month to `end` touch.
select source, month
from quality.archives
where state = 'archived' and source = any (%(sources)s) and month between %(start)s and %(end)s
order by 2, 1
