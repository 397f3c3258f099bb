-- At most one row: the rollback that a run has made.
select as_of, challenger_version, champion_version, effective_from, decided_by
from ml.decisions
where run_id = %(run_id)s and outcome = 'rolled_back'
