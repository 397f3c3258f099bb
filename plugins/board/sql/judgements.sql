-- One row per signal: its last judgement, and from which day on it has been judged the same without a break.
with latest as (
    select distinct on (signal) * from ml.judgements order by signal, as_of desc
)
select
    signal, as_of, state, model_version, days, value, low, high, allowed, since, message,
    (
        select min(same.as_of)
        from ml.judgements as same
        where same.signal = latest.signal
            and same.as_of > coalesce(
                (
                    select max(other.as_of)
                    from ml.judgements as other
                    where other.signal = latest.signal and other.state <> latest.state
                ),
                '-infinity'
            )
    ) as same_from
from latest
order by signal
