-- One row: the day that a version was trained for, and the versions of the views it was made from.
select trained_as_of, features
from ml.models
where model_version = %(version)s
