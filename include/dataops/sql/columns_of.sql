-- One row per column of a table of raw.
select attname::text
from pg_attribute
where attrelid = format('raw.%%I', %(table)s::text)::regclass and attnum > 0 and not attisdropped
