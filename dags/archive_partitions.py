"""Move months of `raw` that are past retention, and that a model was trained on, to cold storage as Parquet.

The warehouse stays as small as its daily work needs. A month is read back and compared before it is dropped, and a
step that reads it again restores it by itself. To restore by hand, trigger this DAG with `restore_start` and
`restore_end` (both included): every source of the months they touch comes back, until the next run archives it again.
"""

from airflow.sdk import Param, PartitionedAssetTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from include.core.calendar import as_of_day
from include.core.datasets import ARCHIVE, CHALLENGER
from include.core.defaults import CHAIN_DEFAULTS
from include.dataops import archive, retention
from include.project import domain


@dag(
    schedule=PartitionedAssetTimetable(assets=CHALLENGER),
    params={
        "restore_start": Param(None, type=["null", "string"], format="date"),
        "restore_end": Param(None, type=["null", "string"], format="date"),
    },
    doc_md=__doc__,
    **CHAIN_DEFAULTS,
)
def archive_partitions():
    @task.branch
    def choose_direction(*, params=None) -> str:
        return "plan_restore" if params["restore_start"] or params["restore_end"] else "plan_archive"

    @task
    def plan_archive(*, partition_key=None) -> list[str]:
        return retention.plan_archive(domain, as_of_day(partition_key))

    @task(map_index_template="{{ task.op_kwargs['month'] }}")
    def archive_month(month: str, *, partition_key=None, run_id=None) -> list[str]:
        return retention.archive_month(domain, month, as_of_day(partition_key), run_id)

    @task(outlets=[ARCHIVE])
    def publish_archive(archived: list) -> None:
        """Announce the day once, and only if something left the warehouse."""
        if not any(archived):
            raise AirflowSkipException("another run has archived these months")

    @task
    def plan_restore(*, params=None) -> list[str]:
        return archive.plan_restore(domain, params["restore_start"], params["restore_end"])

    @task(map_index_template="{{ task.op_kwargs['month'] }}")
    def restore_month(month: str, *, run_id=None) -> list[str]:
        return archive.restore_month(domain, month, run_id)

    months, archived_months = plan_archive(), plan_restore()
    choose_direction() >> [months, archived_months]
    publish_archive(archive_month.expand(month=months))
    restore_month.expand(month=archived_months)


archive_partitions()
