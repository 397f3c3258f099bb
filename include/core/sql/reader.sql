-- What the role flightline_reader may do: read. Safe to run again; does nothing where there is no such role.
-- The Model board reads with it, and so may a notebook. `staging` is left out: its tables live as long as a run.
do $$
declare
    known text;
    unread record;
begin
    if not exists (select from pg_roles where rolname = 'flightline_reader') then
        return;
    end if;
    foreach known in array array['quality', 'quarantine', 'raw', 'reference', 'features', 'ml'] loop
        execute format('grant usage on schema %I to flightline_reader', known);
        -- Of the role that runs this: what it makes later can be read too.
        execute format('alter default privileges in schema %I grant select on tables to flightline_reader', known);
        -- Only what cannot be read yet: a grant on a table that a run is just dropping would fail.
        for unread in
            select pg_class.oid::regclass as name
            from pg_class
            where relnamespace = known::regnamespace
                and relkind in ('r', 'p', 'v', 'm')
                and not has_table_privilege('flightline_reader', pg_class.oid, 'select')
        loop
            execute format('grant select on %s to flightline_reader', unread.name);
        end loop;
    end loop;
end
$$;
