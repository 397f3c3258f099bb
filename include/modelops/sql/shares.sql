-- One row per feature and bin of the champion's profile, or of the day: the share then and the share now.
-- A feature that is newer than the champion has no share to compare with, and no row.
-- Numbers fall into the bins that the profile's edges cut, categories into their own or, if rare or new, into 'other'.
with values as (
    select unpivoted.key as feature, unpivoted.value
    from scored_rows
    cross join lateral jsonb_each_text(to_jsonb(scored_rows) - 'as_of' - 'entity_id') as unpivoted
    where unpivoted.key in (select feature from ml.reference_profiles where model_version = %(version)s)
),
binned as (
    select
        values.feature,
        case
            when values.value is null or (edges.edges is not null and values.value = 'NaN') then 'missing'
            when edges.edges is not null then width_bucket(values.value::double precision, edges.edges)::text
            when known.bin is not null then known.bin
            else 'other'
        end as bin
    from values
    left join ml.reference_edges as edges
        on edges.model_version = %(version)s and edges.feature = values.feature
    left join ml.reference_profiles as known
        on known.model_version = %(version)s and known.feature = values.feature and known.bin = values.value
        and edges.edges is null and values.value not in ('missing', 'other')
),
today as (
    select feature, bin, count(*) / sum(count(*)) over (partition by feature) as share
    from binned
    group by feature, bin
),
reference as (
    select feature, bin, share
    from ml.reference_profiles
    where model_version = %(version)s and feature in (select feature from today)
)
select feature, bin, coalesce(reference.share, 0), coalesce(today.share, 0)::double precision
from reference
full join today using (feature, bin)
