-- The first decision about a challenger stands: a retry finds it and leaves it alone.
insert into ml.decisions (
    as_of, challenger_version, champion_version, route, outcome, decided_by, reasons, metrics, effective_from
)
values (
    %(as_of)s, %(challenger)s, %(champion)s, %(route)s, %(outcome)s, %(decided_by)s, %(reasons)s, %(metrics)s,
    %(effective_from)s
)
on conflict (as_of, challenger_version) do nothing
