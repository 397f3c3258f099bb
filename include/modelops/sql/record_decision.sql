-- The first decision about a challenger stands, and so does the first of a rollback's run.
insert into ml.decisions (
    as_of, challenger_version, champion_version, route, outcome, decided_by, reasons, metrics, effective_from, comment,
    run_id
)
values (
    %(as_of)s, %(challenger)s, %(champion)s, %(route)s, %(outcome)s, %(decided_by)s, %(reasons)s, %(metrics)s,
    %(effective_from)s, %(comment)s, %(run_id)s
)
on conflict do nothing
