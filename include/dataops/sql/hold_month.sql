-- The lock that the drop of a month takes alone, shared by those who read the month.
select pg_advisory_xact_lock_shared(hashtextextended(%(key)s, 0))
