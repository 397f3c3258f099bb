-- One row per decision about who is champion, the newest first.
select
    as_of, challenger_version, champion_version, route, outcome, decided_by, reasons, effective_from, comment
from ml.decisions
order by as_of desc, recorded_at desc
limit 500
