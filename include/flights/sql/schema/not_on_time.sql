-- Whether an outcome counts as not on time: 15 minutes late or more, or no arrival at all.
create or replace function features.not_on_time(arr_delay integer)
returns boolean language sql immutable parallel safe as
$$ select arr_delay is null or arr_delay >= 15 $$;
