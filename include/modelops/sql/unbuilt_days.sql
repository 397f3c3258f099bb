-- One row per view that lacks days of [start, end] in its present version: the first and the last of them.
select views.view, min(days.as_of)::date, max(days.as_of)::date
from generate_series(%(start)s::date, %(end)s::date, interval '1 day') as days (as_of)
cross join unnest(%(views)s, %(versions)s) as views (view, version)
left join features.partitions
    on partitions.view = views.view and partitions.as_of = days.as_of and partitions.version = views.version
where partitions.view is null
group by views.view
order by views.view
