-- The tables that every domain shares. Safe to run again: what exists keeps its rows.
-- `recorded_at` is for the audit, and is left out of every comparison. No step reads it but one: of two decisions about
-- one day it tells which came later.

create schema if not exists staging;
create schema if not exists raw;
create schema if not exists quarantine;
create schema if not exists reference;
create schema if not exists quality;
create schema if not exists features;
create schema if not exists ml;

-- One row per as-of day and source: what the drop held, and whether the chain may use it.
create table if not exists quality.partitions (
    as_of            date        not null,
    source           text        not null,
    file_sha256      text        not null,
    lines            integer     not null,
    raw_rows         integer     not null,
    quarantined_rows integer     not null,
    state            text        not null check (state in ('loaded', 'checked', 'failed', 'waived')),
    run_id           text        not null,
    recorded_at      timestamptz not null default clock_timestamp(),
    primary key (as_of, source),
    check (lines = raw_rows + quarantined_rows)
);

-- One row per content that a drop has had: a correction adds one, and the earlier ones stay.
create table if not exists quality.drops (
    as_of            date        not null,
    source           text        not null,
    file_sha256      text        not null,
    file             text        not null,
    lines            integer     not null,
    raw_rows         integer     not null,
    quarantined_rows integer     not null,
    run_id           text        not null,
    recorded_at      timestamptz not null default clock_timestamp(),
    primary key (as_of, source, file_sha256)
);

-- One row per drop that a person accepted although its checks failed: which content, who, and why.
create table if not exists quality.waivers (
    as_of       date        not null,
    source      text        not null,
    file_sha256 text        not null,
    checks      text[]      not null,
    waived_by   text        not null,
    reason      text        not null,
    run_id      text        not null,
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (as_of, source, file_sha256)
);

-- One row per as-of day and stage of the chain: the ledger that stages ask for the day before.
create table if not exists quality.stages (
    as_of       date        not null,
    stage       text        not null,
    state       text        not null,
    detail      jsonb       not null default '{}',
    run_id      text        not null,
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (as_of, stage)
);

-- One row per check, source and the as-of days it looked at.
create table if not exists quality.check_results (
    as_of       date        not null,
    source      text        not null,
    check_name  text        not null,
    first_day   date        not null,
    outcome     text        not null check (outcome in ('pass', 'warn', 'fail', 'error')),
    measured    double precision,
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (as_of, source, check_name)
);

-- One row per rejected line of a drop, as it came.
create table if not exists quarantine.rows (
    source  text    not null,
    as_of   date    not null,
    line    integer not null,
    reason  text    not null,
    payload jsonb   not null,
    primary key (source, as_of, line)
);

-- The lock of a change of features is taken before anything that their readers may wait for.
do $$
begin
    if to_regclass('features.views') is not null then
        lock table features.views in share row exclusive mode;
    end if;
end
$$;

-- Earlier versions had the registry as a table of its own. It holds nothing that the domain does not say.
do $$
begin
    if (select relkind = 'r' from pg_class where oid = to_regclass('features.registry')) then
        drop table features.registry;
    end if;
end
$$;

-- One row per view of the domain in its present version. `position` is its place in the order of building.
create table if not exists features.views (
    view        text    primary key,
    position    integer not null,
    kind        text    not null check (kind in ('tallies', 'labels', 'features')),
    version     text    not null,
    owner       text    not null,
    description text    not null,
    entity      text[]  not null,
    features    jsonb   not null,
    lookback    integer not null,
    reach       integer not null,
    reads       text[]  not null,
    sources     text[]  not null
);

-- One row per view and as-of day that holds it: built from which version of its SQL and from which drops.
create table if not exists features.partitions (
    view       text    not null,
    as_of      date    not null,
    version    text    not null,
    row_count  integer not null,
    primary key (view, as_of)
);
alter table features.partitions add column if not exists inputs text;
-- How many drops of its reach there are: fewer at the start of history.
alter table features.partitions add column if not exists history_days integer;

-- A hash of the drops that a view of this reach reads on a day: which of them are there, with which content.
create or replace function features.inputs_of(sources text[], reach integer, as_of date)
returns text language sql stable as
$$
    select md5(coalesce(string_agg(concat_ws(' ', drops.as_of, drops.source, drops.file_sha256), ','
        order by drops.as_of, drops.source collate "C"), ''))
    from quality.partitions as drops
    where drops.source = any (inputs_of.sources)
        and drops.as_of between inputs_of.as_of - inputs_of.reach + 1 and inputs_of.as_of
$$;

-- One row per view and day that was built: whether a rebuild would read the same SQL and the same drops.
create or replace view features.freshness as
select
    partitions.view,
    partitions.as_of,
    partitions.version,
    case
        when partitions.version <> views.version then 'another version'
        when partitions.inputs is distinct from features.inputs_of(views.sources, views.reach, partitions.as_of)
            then 'other drops'
        else 'fresh'
    end as state
from features.partitions
join features.views using (view);

-- One row per view: what it is, and the days it is built for. A stale day was built from another version of the view
-- or of one below it, or from drops that have been replaced since.
create or replace view features.registry as
select
    views.view, views.kind, views.owner, views.description, views.entity, views.features, views.lookback, views.reads,
    views.version,
    coalesce(built.days, 0) as built_days,
    built.first_day,
    built.last_day,
    coalesce(built.stale_days, 0) as stale_days
from features.views
left join (
    select view, count(*) as days, min(as_of) as first_day, max(as_of) as last_day,
        count(*) filter (where state <> 'fresh') as stale_days
    from features.freshness
    group by view
) as built using (view)
order by views.position;

-- One row per view, feature and as-of day: what its values are like. Of a boolean the mean is the share that is true.
create table if not exists features.statistics (
    view            text    not null,
    feature         text    not null,
    as_of           date    not null,
    row_count       integer not null,
    null_count      integer not null,
    mean            double precision,
    stddev          double precision,
    minimum         double precision,
    maximum         double precision,
    distinct_values integer,
    primary key (view, feature, as_of)
);

-- One row per registered model version.
create table if not exists ml.models (
    model_version   integer     primary key,
    trained_as_of   date        not null,
    candidate       text        not null,
    artifact_path   text        not null,
    artifact_sha256 text        not null,
    mlflow_run_id   text        not null,
    fitted_from     date        not null,
    fitted_through  date        not null,
    data_hash       text        not null,
    features        jsonb       not null,
    threshold       double precision not null,
    recorded_at     timestamptz not null default clock_timestamp()
);

-- One row per decision about who is champion. Of a challenger the gate, or a person, decides once; a rollback is a
-- decision too; its `as_of` is the last day that was scored, or the eve of a change that was still to come.
-- `effective_from` is the first day that the challenger scores; without it nothing changed.
create table if not exists ml.decisions (
    as_of              date        not null,
    challenger_version integer     not null references ml.models,
    champion_version   integer     references ml.models,
    route              text        not null,
    outcome            text        not null,
    decided_by         text        not null,
    reasons            text[]      not null,
    metrics            jsonb       not null,
    effective_from     date,
    recorded_at        timestamptz not null default clock_timestamp()
);
alter table ml.decisions add column if not exists comment text not null default '';
alter table ml.decisions add column if not exists run_id text not null default '';
-- Earlier versions knew no rollback.
alter table ml.decisions drop constraint if exists decisions_pkey;
alter table ml.decisions drop constraint if exists decisions_check;
alter table ml.decisions drop constraint if exists decisions_route_check;
alter table ml.decisions drop constraint if exists decisions_outcome_check;
alter table ml.decisions drop constraint if exists decisions_are_whole;
alter table ml.decisions add constraint decisions_are_whole check (
    route in ('promote', 'ask_a_person', 'reject', 'roll_back')
    and outcome in ('promoted', 'rejected', 'rolled_back')
    and (outcome = 'rolled_back') = (route = 'roll_back')
    and (outcome = 'rejected') = (effective_from is null)
);
create unique index if not exists one_decision_per_challenger on ml.decisions (as_of, challenger_version)
    where outcome <> 'rolled_back';
create unique index if not exists one_rollback_per_run on ml.decisions (run_id) where outcome = 'rolled_back';

-- One row per as-of day, scored entity and model version. `features_version` names the versions of the views that the
-- features came from; that `model_version` is registered is checked once a statement, not once a row.
create table if not exists ml.predictions (
    as_of            date             not null,
    entity_id        text             not null,
    model_version    integer          not null,
    probability      double precision not null,
    decision         boolean          not null,
    features_version text             not null,
    superseded       boolean          not null default false,
    recorded_at      timestamptz      not null default now(),
    primary key (as_of, entity_id, model_version)
);
alter table ml.predictions add column if not exists features_version text not null default '';
alter table ml.predictions alter column recorded_at set default now();
alter table ml.predictions drop constraint if exists predictions_model_version_fkey;

-- One row per model version, feature and bin: the shares of the rows the model was fitted on.
create table if not exists ml.reference_profiles (
    model_version integer          not null references ml.models,
    feature       text             not null,
    bin           text             not null,
    share         double precision not null,
    primary key (model_version, feature, bin)
);

-- One row per model version and numeric feature: the edges that cut its values into bins.
create table if not exists ml.reference_edges (
    model_version integer            not null references ml.models,
    feature       text               not null,
    edges         double precision[] not null,
    primary key (model_version, feature)
);

-- One row per model version, text feature and category among the rows the model was fitted on.
create table if not exists ml.reference_categories (
    model_version integer not null references ml.models,
    feature       text    not null,
    category      text    not null,
    primary key (model_version, feature, category)
);

-- One row per scored day and feature (and one for the scores, 'probability'): how far the day lies from the rows that
-- the champion was fitted on. `missing` is the share of rows without a value, `missing_then` that of the reference,
-- `unseen` the share of rows in a category that the reference does not have, null for numbers.
create table if not exists ml.drift (
    as_of         date             not null,
    model_version integer          not null,
    feature       text             not null,
    psi           double precision not null,
    js_distance   double precision not null,
    primary key (as_of, feature)
);
alter table ml.drift add column if not exists missing double precision;
alter table ml.drift add column if not exists missing_then double precision;
alter table ml.drift add column if not exists unseen double precision;

-- One row per look at a scored day (`window_days` 1) or at the days of a trailing window that `as_of` ends, for all
-- rows or a group of a slice. `known_at` is the drop whose labels were the last to count, so a later look restates
-- an earlier one, which stays. Of a window only days count that are not provisional, `days` of them.
-- `predicted` is the mean probability, `cost` is per row, and `baseline_cost` what the first champion would have cost.
create table if not exists ml.performance (
    as_of             date             not null,
    known_at          date             not null,
    model_version     integer          not null,
    predictions       integer          not null,
    matured           integer          not null,
    coverage          double precision not null,
    provisional       boolean          not null,
    positives         integer          not null,
    roc_auc           double precision,
    average_precision double precision,
    brier             double precision,
    ece               double precision,
    cost              double precision
);
alter table ml.performance add column if not exists window_days integer not null default 1;
alter table ml.performance add column if not exists slice text not null default '';
alter table ml.performance add column if not exists slice_group text not null default '';
alter table ml.performance add column if not exists days integer not null default 1;
alter table ml.performance add column if not exists predicted double precision;
alter table ml.performance add column if not exists baseline_cost double precision;
alter table ml.performance drop constraint if exists performance_pkey;
create unique index if not exists one_look on ml.performance (as_of, known_at, window_days, slice, slice_group);
create index if not exists performance_known_at on ml.performance (known_at);

-- One row per monitored day and signal: what was judged of the champion, from which numbers, and since when it is so.
create table if not exists ml.judgements (
    as_of         date    not null,
    signal        text    not null check (signal in ('calibration', 'cost', 'labels')),
    state         text    not null check (state in ('healthy', 'harm', 'unknown')),
    model_version integer,
    days          integer not null,
    value         double precision,
    low           double precision,
    high          double precision,
    allowed       double precision,
    since         date,
    message       text    not null,
    primary key (as_of, signal)
);

-- One row per alert: what was seen, since when, how sure that is, and what to do. `delivery` is 'sent', 'failed',
-- 'kept' where no connection `alerts` names a receiver, or 'withheld' when the month's budget was used up.
create table if not exists ml.alerts (
    as_of       date        not null,
    kind        text        not null,
    subject     text        not null,
    message     text        not null,
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (as_of, kind, subject)
);
alter table ml.alerts add column if not exists since date;
alter table ml.alerts add column if not exists certainty text not null default '';
alter table ml.alerts add column if not exists next_step text not null default '';
alter table ml.alerts add column if not exists delivery text not null default 'kept';
alter table ml.alerts drop constraint if exists delivery_is_known;
alter table ml.alerts add constraint delivery_is_known
    check (delivery in ('kept', 'sent', 'failed', 'withheld'));

-- One row per source and month of raw that was archived: where its rows are, and what they were. `month` is its first
-- day, `path` a file below COLD_URI, `as_of` the day whose run archived it, and `run_id` the run that set the state.
create table if not exists quality.archives (
    source      text        not null,
    month       date        not null,
    state       text        not null check (state in ('archived', 'restored')),
    path        text        not null,
    row_count   bigint      not null,
    checksum    text        not null,
    file_sha256 text        not null,
    as_of       date        not null,
    run_id      text        not null,
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (source, month)
);
