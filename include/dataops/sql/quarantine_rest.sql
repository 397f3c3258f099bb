-- Into quarantine: every staged line that is not in raw, as it came and with its reasons. A line without a reason of
-- its own has the key of one before it. Undeclared columns without a value are left out: in the staging table there are
-- also those that only the file of another day has.
insert into quarantine.rows (source, as_of, line, reason, payload)
select
    %(source)s,
    as_of,
    line,
    coalesce(nullif(concat_ws('; ', {reasons}), ''), format('line %%s has the same key', __first)),
    to_jsonb(__came) - '__n' - array(
        select key from jsonb_each(to_jsonb(__came)) where key like '+%%' and value = 'null'
    )
from ({lines}) as read
left join (
    select as_of as __first_of, line as __first, {key_as_known}
    from {raw}
    where as_of between %(start)s and %(end)s
) as known on (__first_of, {known_key}) = (as_of, {key})
where not exists (
    select from {raw} as loaded
    where loaded.as_of = read.as_of and loaded.line = read.line and loaded.as_of between %(start)s and %(end)s
)
