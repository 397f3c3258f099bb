-- A share drawn towards 0.25, a round figure near the not-on-time rate of January, by `prior_rows` imagined rows.
-- A constant prior cannot carry anything from the future into a feature.
create or replace function features.smoothed_rate(hits bigint, total bigint, prior_rows integer default 25)
returns double precision language sql immutable parallel safe as
$$ select (coalesce(hits, 0) + 0.25 * prior_rows) / (coalesce(total, 0) + prior_rows) $$;
