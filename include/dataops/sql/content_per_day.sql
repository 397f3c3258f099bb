-- One row per as-of day of a table: its rows, and the sum of their hashes, which no order changes.
select as_of, count(*), sum(('x' || left(md5(convert_to(row({columns})::text, 'UTF8')), 16))::bit(64)::bigint)
from {table}
group by as_of
order by as_of
