-- One row per column of a table, in order: name, type, whether it must have a value, its place in the primary key.
select
    attribute.attname,
    format_type(attribute.atttypid, attribute.atttypmod),
    attribute.attnotnull,
    array_position(string_to_array(key.indkey::text, ' '), attribute.attnum::text)
from pg_attribute as attribute
left join pg_index as key on key.indrelid = attribute.attrelid and key.indisprimary
where
    attribute.attrelid = to_regclass(format('%%I.%%I', %(schema)s::text, %(table)s::text))
    and attribute.attnum > 0
    and not attribute.attisdropped
order by attribute.attnum
