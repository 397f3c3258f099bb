"""Load the reference files with the Astro SDK, in the interpreter that is its own.

The Astro SDK needs Airflow 2 and a pandas older than ours, so it can't live in the environment of the chain. Airflow
runs this function with the other interpreter (`@task.external_python`): its source is sent over, so everything it
needs is imported inside it, and what it needs to know comes as arguments or, the connection, in its environment.
"""


def load_reference_files(files: dict[str, str]) -> dict[str, int]:
    """Replace `staging.reference_<name>` by each CSV file, as text, and return the rows of each.

    One call loads every table: nearly all of its ten seconds are imports.
    """
    import os
    import sys
    import tempfile
    from pathlib import Path

    ways_out = (
        " Make this interpreter again from include/astro_sdk/requirements.lock (`make bootstrap` does so here, the"
        " Dockerfile in the image), or set ASTRO_SDK_PYTHON to nothing (ASTRO_SDK_PYTHON=) to load the reference tables"
        " without the Astro SDK. The tables are as they were."
    )
    # Airflow tells what lies there when this process fails. An error replaces it, a process that is killed cannot.
    if sys.argv[4:] and sys.argv[4].endswith("termination.log"):
        Path(sys.argv[4]).write_text(f"{sys.executable} crashed or was killed, perhaps for lack of memory.{ways_out}")

    with tempfile.TemporaryDirectory() as home:
        # A home of its own: with the other Airflow's configuration, this one would not find its connection.
        os.environ["AIRFLOW_HOME"] = home
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        os.environ["AIRFLOW__ASTRO_SDK__SEND_TELEMETRY"] = "False"
        os.environ["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] = "False"

        try:
            from astro.databases import create_database
            from astro.dataframes.load_options import PandasLoadOptions
            from astro.files import File
            from astro.table import Metadata, Table
        except Exception as error:
            raise RuntimeError(
                f"{sys.executable} cannot import the Astro SDK ({type(error).__name__}: {error}).{ways_out}"
            ) from error

        database = create_database("warehouse")
        rows = {}
        for name, path in files.items():
            file = File(path)
            # Text, and no word taken for null: the types are the declared ones, and pandas has no say in them.
            file.load_options = [PandasLoadOptions(dtype=str, kwargs={"keep_default_na": False})]
            table = Table(name=f"reference_{name}", conn_id="warehouse", metadata=Metadata(schema="staging"))
            database.load_file_to_table(
                input_file=file, output_table=table, if_exists="replace", use_native_support=False
            )
            rows[name] = database.row_count(table)
        return rows
