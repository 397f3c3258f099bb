-- One row per decision about a version, rollbacks in which it had to go included, in the order in which they were made.
select as_of, outcome, route, decided_by, comment, reasons, effective_from, challenger_version, champion_version
from ml.decisions
where challenger_version = %(version)s
    or (outcome = 'rolled_back' and champion_version = %(version)s)
order by recorded_at
