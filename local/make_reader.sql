-- The role that the Model board reads with, in the warehouse of `astro dev start`; core/sql/reader.sql grants what it may
-- read. The password is for one machine only and no secret, as that of the warehouse itself.
create role flightline_reader login password 'local-only' connection limit 20;
alter role flightline_reader set default_transaction_read_only = on;
