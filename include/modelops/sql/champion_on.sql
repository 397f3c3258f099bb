-- At most one row: the version whose promotion was the last to take effect by `as_of`.
select challenger_version
from ml.decisions
where effective_from <= %(as_of)s
order by effective_from desc, as_of desc, challenger_version desc
limit 1
