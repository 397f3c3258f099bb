-- One row: what the loaded days hold.
select sum(lines), sum(raw_rows), sum(quarantined_rows)
from quality.partitions
where source = %(source)s and as_of = any (%(days)s::date[])
