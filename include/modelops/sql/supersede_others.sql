-- No other version's predictions count any more for the days that were scored from `since` on.
update ml.predictions
set superseded = true
where as_of >= %(since)s and model_version <> %(version)s and not superseded
