-- Of the lines of one drop with the same key the first one stays.
delete from {raw} as repeated
using (
    select as_of, {key}, min(line) as __first_line
    from {raw}
    where as_of between %(start)s and %(end)s
    group by as_of, {key}
    having count(*) > 1
) as known
where (repeated.as_of, {key_of_repeated}) = (known.as_of, {key_of_known})
    and repeated.line > known.__first_line
    and repeated.as_of between %(start)s and %(end)s
