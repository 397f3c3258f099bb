-- One row: the first and the last as-of day that the ledger knows; nulls before the first drop.
select min(as_of), max(as_of) from quality.stages
