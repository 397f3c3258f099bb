-- Temporary tables of what monitoring looks at on a drop: the scored rows of the days from `start` to the eve of the
-- drop with their labels, and what share of each day's labels has come. A label that had landed before its row was
-- scored is none. `gap` is probability less label, `cost` what the decision cost, `first_cost` that of the first
-- champion; null without a label. All are numeric, which adds up to the same in any order.
create temporary table looked_at on commit drop as
with matured as (
    select
        predictions.as_of,
        predictions.entity_id,
        predictions.model_version,
        predictions.probability,
        predictions.decision,
        labels.label,
        first_champion.decision as first_decision
    from ml.predictions
    left join landed_labels as labels
        on labels.as_of = predictions.as_of and labels.entity_id = predictions.entity_id
        and labels.landed > predictions.as_of
    left join ml.predictions as first_champion
        on first_champion.as_of = predictions.as_of and first_champion.entity_id = predictions.entity_id
        and first_champion.model_version = %(first_champion)s
        and first_champion.as_of between %(start)s and %(known_at)s - 1
    where predictions.as_of between %(start)s and %(known_at)s - 1 and not predictions.superseded
)
select
    as_of,
    entity_id,
    model_version,
    probability,
    label,
    least(floor(probability * 10), 9)::integer as bin,
    case when label is not null then probability::numeric end as predicted,
    probability::numeric - label::integer as gap,
    case
        when label and not decision then %(missed)s
        when not label and decision then %(false_alarm)s
        when label is not null then 0
    end::numeric as cost,
    case
        when label and not first_decision then %(missed)s
        when not label and first_decision then %(false_alarm)s
        when label is not null and first_decision is not null then 0
    end::numeric as first_cost
from matured;

create temporary table covered on commit drop as
select as_of, count(label)::double precision / count(*) as share
from looked_at
group by as_of;
