-- One row per view and day of [start, end] that is not built, or that a build would give otherwise now, and why.
select
    views.view,
    days.as_of::date,
    case
        when freshness.view is null then 'missing'
        when freshness.version <> views.version then 'another version'
        else freshness.state
    end as state
from unnest(%(views)s::text[], %(versions)s::text[]) as views (view, version)
cross join generate_series(%(start)s::date, %(end)s::date, interval '1 day') as days (as_of)
left join (
    select view, as_of, version, state
    from features.freshness
    where view = any (%(views)s::text[]) and as_of between %(start)s and %(end)s
) as freshness on freshness.view = views.view and freshness.as_of = days.as_of::date
where freshness.view is null or freshness.version <> views.version or freshness.state <> 'fresh'
order by 1, 2
