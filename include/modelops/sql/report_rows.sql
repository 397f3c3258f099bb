-- One row per row of the features in no order, and the version's probability if it gave one: at most as many as asked,
-- the same ones whoever asks. Scored are rows with a prediction that counts.
select {columns}
from ({features}) as features
left join (
    select as_of, entity_id, probability
    from ml.predictions
    where as_of between %(start)s and %(end)s and model_version = %(version)s
) as of_version using (as_of, entity_id)
where not {scored} or exists (
    select
    from ml.predictions as counting
    where counting.as_of = features.as_of and counting.entity_id = features.entity_id and not counting.superseded
        and counting.as_of between %(start)s and %(end)s
)
order by md5(concat_ws(' ', as_of, entity_id)), as_of, entity_id
limit %(most)s
