-- One row per as-of day that is loaded from another file than before, after features of later days were built.
select drops.as_of
from unnest(%(days)s::date[], %(hashes)s::text[]) as drops (as_of, file_sha256)
join quality.partitions as before on before.as_of = drops.as_of and before.source = %(source)s
where before.file_sha256 <> drops.file_sha256
    and exists (select from features.partitions where partitions.as_of > drops.as_of)
order by 1
