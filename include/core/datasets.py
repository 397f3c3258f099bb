"""Every Dataset of the chain, in the order of the pipeline: read from top to bottom, this is the architecture.

Each event carries the as-of day as its partition key; only that of `reference`, which belongs to no day, has none.
"""

from airflow.sdk.definitions.asset import Dataset, Model

from include.project import domain

REFERENCE = Dataset(f"{domain.name}.reference")  # prepare_project -> whoever reads the reference tables
RAW = Dataset(f"{domain.name}.raw")  # ingest_sources -> check_quality
CHECKED = Dataset(f"{domain.name}.checked")  # check_quality -> build_features
FEATURES = Dataset(f"{domain.name}.features")  # build_features, backfill_features -> score_batch
PREDICTIONS = Dataset(f"{domain.name}.predictions")  # score_batch -> monitor_drift
RETRAIN_REQUEST = Dataset(f"{domain.name}.retrain_request")  # monitor_drift -> train_model
CHALLENGER = Model(f"{domain.name}.challenger")  # train_model -> deploy_model
CHAMPION = Model(f"{domain.name}.champion")  # deploy_model -> whoever serves or watches the model
ARCHIVE = Dataset(f"{domain.name}.archive")  # archive_partitions -> whoever reads cold storage
