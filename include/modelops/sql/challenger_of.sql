-- At most one row: the last version that was trained for a day.
select max(model_version)
from ml.models
where trained_as_of = %(as_of)s
having max(model_version) is not null
