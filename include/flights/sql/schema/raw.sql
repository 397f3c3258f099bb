-- The typed tables of the three sources, partitioned by the as-of day of the drop they came in.

-- One row per flight due to depart on the as-of day, with what is known beforehand.
create table if not exists raw.schedule (
    as_of          date     not null,
    line           integer  not null,
    flight_date    date     not null,
    carrier        text     not null,
    flight         integer  not null,
    origin         text     not null,
    dest           text     not null,
    distance       integer  not null,
    sched_dep_time smallint not null,
    sched_arr_time smallint not null,
    primary key (as_of, carrier, flight, origin)
) partition by range (as_of);

-- One row per outcome, in the drop that it landed before. Times of day are local, as hhmm.
create table if not exists raw.actuals (
    as_of          date        not null,
    line           integer     not null,
    flight_date    date        not null,
    carrier        text        not null,
    flight         integer     not null,
    origin         text        not null,
    dest           text        not null,
    sched_dep_time smallint    not null,
    dep_time       smallint,
    dep_delay      integer,
    arr_time       smallint,
    arr_delay      integer,
    air_time       integer,
    tailnum        text,
    landed_at      timestamptz not null,
    primary key (as_of, flight_date, carrier, flight, origin)
) partition by range (as_of);

-- One row per station and hour, in the drop that followed the observation. Units as the station reports them:
-- degrees Fahrenheit, miles an hour, inches, millibars, miles.
create table if not exists raw.weather (
    as_of       date        not null,
    line        integer     not null,
    origin      text        not null,
    observed_at timestamptz not null,
    temp        double precision,
    dewp        double precision,
    humid       double precision,
    wind_dir    double precision,
    wind_speed  double precision,
    wind_gust   double precision,
    precip      double precision,
    pressure    double precision,
    visib       double precision,
    primary key (as_of, origin, observed_at)
) partition by range (as_of);
