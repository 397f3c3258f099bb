-- One row: days since a training was last asked for before `as_of`, and how many days have features and labels.
select
    %(as_of)s::date - (
        select max(as_of)
        from quality.stages
        where stage = 'monitored' and (detail ->> 'retrain')::boolean and as_of < %(as_of)s
    ),
    (select count(*) from features.partitions where view = %(unit)s and as_of <= %(last_matured)s)
