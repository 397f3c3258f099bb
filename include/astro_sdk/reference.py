"""Load the reference tables with the Astro SDK, in the interpreter that is its own.

The Astro SDK needs Airflow 2 and a pandas older than ours, so it can't live in the environment of the chain. Airflow
runs this function with the other interpreter (`@task.external_python`): its source is sent over, so everything it
needs is imported inside it, and what it needs to know comes as arguments.
"""


def load_reference_tables(files: dict[str, str], connection: dict[str, str]) -> dict[str, int]:
    """Replace `reference.<name>` by each CSV file and return the rows of each.

    `connection` has host, port, schema, login and password of the warehouse. One call loads every table: nearly all
    of its ten seconds are imports.
    """
    import json
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as home:
        # A home of its own: with the other Airflow's configuration, this one would not find its connection.
        os.environ["AIRFLOW_HOME"] = home
        os.environ["AIRFLOW_CONN_WAREHOUSE"] = json.dumps({"conn_type": "postgres", **connection})
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        os.environ["AIRFLOW__ASTRO_SDK__SEND_TELEMETRY"] = "False"
        os.environ["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] = "False"

        from astro.databases import create_database
        from astro.files import File
        from astro.table import Metadata, Table

        database = create_database("warehouse")
        rows = {}
        for name, path in files.items():
            table = Table(name=name, conn_id="warehouse", metadata=Metadata(schema="reference"))
            database.load_file_to_table(
                input_file=File(path), output_table=table, if_exists="replace", use_native_support=False
            )
            rows[name] = database.row_count(table)
        return rows
