-- The tables that every domain shares. Safe to run again: nothing that exists is changed.
-- `recorded_at` is for the audit only: no step reads it, and it is left out of every comparison.

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

-- One row per feature view: its present version and owner.
create table if not exists features.registry (
    view        text    primary key,
    version     text    not null,
    entity      text[]  not null,
    owner       text    not null,
    description text    not null,
    lookback    integer not null,
    features    jsonb   not null
);

-- One row per feature view and as-of day that holds it.
create table if not exists features.partitions (
    view       text    not null,
    as_of      date    not null,
    version    text    not null,
    row_count  integer not null,
    primary key (view, as_of)
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

-- One row per decided challenger, by the day its training was asked for. Without effective_from nothing changed.
create table if not exists ml.decisions (
    as_of              date        not null,
    challenger_version integer     not null references ml.models,
    champion_version   integer     references ml.models,
    route              text        not null check (route in ('promote', 'ask_a_person', 'reject')),
    outcome            text        not null check (outcome in ('promoted', 'rejected')),
    decided_by         text        not null,
    reasons            text[]      not null,
    metrics            jsonb       not null,
    effective_from     date,
    recorded_at        timestamptz not null default clock_timestamp(),
    primary key (as_of, challenger_version),
    check ((outcome = 'promoted') = (effective_from is not null))
);

-- One row per as-of day, scored entity and model version.
create table if not exists ml.predictions (
    as_of         date             not null,
    entity_id     text             not null,
    model_version integer          not null references ml.models,
    probability   double precision not null,
    decision      boolean          not null,
    superseded    boolean          not null default false,
    recorded_at   timestamptz      not null default clock_timestamp(),
    primary key (as_of, entity_id, model_version)
);

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

-- One row per scored day and feature (and one for the scores, 'probability').
create table if not exists ml.drift (
    as_of         date             not null,
    model_version integer          not null,
    feature       text             not null,
    psi           double precision not null,
    js_distance   double precision not null,
    primary key (as_of, feature)
);

-- One row per scored day and the as-of day on which its labels were looked at.
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
    cost              double precision,
    primary key (as_of, known_at)
);

-- One row per alert: what was seen, on which day, by which part of the chain.
create table if not exists ml.alerts (
    as_of       date        not null,
    kind        text        not null,
    subject     text        not null,
    message     text        not null,
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (as_of, kind, subject)
);

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
