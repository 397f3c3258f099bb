-- One row per final day of the window that a version scored and bin of its probabilities (ten of equal width), with
-- the sums of which harm is judged.
select
    as_of,
    bin,
    count(*),
    count(*) filter (where label),
    sum(predicted)::double precision,
    sum(gap)::double precision,
    sum(cost)::double precision
from looked_at
join covered using (as_of)
where label is not null and share >= %(min_coverage)s and as_of between %(window_start)s and %(last)s
    and model_version = %(version)s
group by as_of, bin
order by as_of, bin
