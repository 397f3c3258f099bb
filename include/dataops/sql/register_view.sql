insert into features.registry (view, version, entity, owner, description, lookback, features)
values (%(view)s, %(version)s, %(entity)s, %(owner)s, %(description)s, %(lookback)s, %(features)s)
on conflict (view) do update
set version = excluded.version,
    entity = excluded.entity,
    owner = excluded.owner,
    description = excluded.description,
    lookback = excluded.lookback,
    features = excluded.features
