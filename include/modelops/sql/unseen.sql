-- One row per text feature of the champion's profile: the share of the day's rows in a category that no row had on
-- which the model was fitted. Without rows there is none, and no row for a version that kept no categories.
with values as (
    select unpivoted.key as feature, unpivoted.value
    from scored_rows
    cross join lateral jsonb_each_text(to_jsonb(scored_rows) - 'as_of' - 'entity_id' - 'probability') as unpivoted
    where unpivoted.key in (select feature from ml.reference_profiles where model_version = %(version)s)
        and unpivoted.key not in (select feature from ml.reference_edges where model_version = %(version)s)
        and exists (select from ml.reference_categories where model_version = %(version)s)
)
select values.feature, avg((values.value is not null and known.category is null)::integer)::double precision
from values
left join ml.reference_categories as known
    on known.model_version = %(version)s and known.feature = values.feature and known.category = values.value
group by values.feature
