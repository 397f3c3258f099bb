-- At most one row: the decision that stands about a challenger of a day.
select outcome, decided_by, effective_from
from ml.decisions
where as_of = %(as_of)s and challenger_version = %(challenger)s and outcome <> 'rolled_back'
