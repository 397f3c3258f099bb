-- The last as-of day that the ledger knows, null when it knows none.
select max(as_of) from quality.stages
