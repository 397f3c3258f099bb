insert into features.views (
    view, position, kind, version, owner, description, entity, features, lookback, reach, reads, sources
)
values (
    %(view)s, %(position)s, %(kind)s, %(version)s, %(owner)s, %(description)s, %(entity)s, %(features)s, %(lookback)s,
    %(reach)s, %(reads)s, %(sources)s
)
on conflict (view) do update
set position = excluded.position,
    kind = excluded.kind,
    version = excluded.version,
    owner = excluded.owner,
    description = excluded.description,
    entity = excluded.entity,
    features = excluded.features,
    lookback = excluded.lookback,
    reach = excluded.reach,
    reads = excluded.reads,
    sources = excluded.sources
