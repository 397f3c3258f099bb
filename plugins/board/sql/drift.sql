-- One row per as-of day and feature ('probability' = the scores): how far it lies from the rows of the champion's fit.
select feature, as_of, model_version, psi, js_distance, missing, missing_then, unseen
from ml.drift
where as_of between %(start)s and %(end)s
order by feature, as_of
