"""One hash per table of the warehouse, to tell whether two runs ended with the same rows.

Left out is what names the run or its moment and not its result: run ids, times of recording, and the bytes of a
model file, which carry the time they were packed at.
"""

import argparse
import sys
from datetime import date

from local import postgres, settings

LEFT_OUT = ("recorded_at", "run_id", "mlflow_run_id", "artifact_sha256")

TABLES = """
select namespace.nspname, class.relname, array(
    select attname from pg_attribute
    where attrelid = class.oid and attname = any ('{as_of,known_at,trained_as_of}') and not attisdropped
)
from pg_class as class
join pg_namespace as namespace on namespace.oid = class.relnamespace
where class.relkind in ('r', 'p') and not class.relispartition
    and namespace.nspname in ('raw', 'quarantine', 'reference', 'quality', 'features', 'ml')
order by 1, 2
"""


def checksums(here: settings.Settings, through: date | None = None) -> dict[str, str]:
    """The hash of every table, by its name; with `through`, of the rows up to that as-of day only.

    Rows count, their order does not. An empty table has the hash of nothing.
    """
    from psycopg2 import sql

    hashes = {}
    with postgres.connect(here, "warehouse") as connection, connection.cursor() as cursor:
        cursor.execute(TABLES)
        for schema, table, dated in cursor.fetchall():
            bounds = [sql.SQL("{} <= %(through)s").format(sql.Identifier(name)) for name in dated]
            only = sql.SQL("where {}").format(sql.SQL(" and ").join(bounds)) if bounds and through else sql.SQL("")
            cursor.execute(
                sql.SQL(
                    "select md5(coalesce(string_agg(row, '' order by row), ''))"
                    " from (select md5((to_jsonb(t) - %(left_out)s::text[])::text) as row from {} as t {}) as rows"
                ).format(sql.Identifier(schema, table), only),
                {"left_out": list(LEFT_OUT), "through": through},
            )
            hashes[f"{schema}.{table}"] = cursor.fetchone()[0]
    return hashes


def main() -> int:
    """Print the hashes, a line each."""
    parser = argparse.ArgumentParser(prog="python -m local.checksums", description=__doc__)
    parser.add_argument("--through", type=date.fromisoformat, help="only rows up to this as-of day")
    for table, value in checksums(settings.load(), parser.parse_args().through).items():
        print(value, table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
