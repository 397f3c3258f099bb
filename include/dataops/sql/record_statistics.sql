-- One row per feature and day of [start, end], from one pass over the view's table.
insert into features.statistics (
    view, feature, as_of, row_count, null_count, mean, stddev, minimum, maximum, distinct_values
)
select %(view)s, described.*
from (
    select as_of, count(*) as row_count, {aggregates}
    from {table}
    where as_of between %(start)s and %(end)s
    group by as_of
) as days
cross join lateral (values {rows}) as described
