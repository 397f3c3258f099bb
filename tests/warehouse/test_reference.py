"""Reference tables: the Astro SDK and COPY give the same, and a file that is wrong changes nothing."""

import os
import stat
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import psycopg2
import pytest

from include.astro_sdk import interpreter
from include.astro_sdk.interpreter import UnusableInterpreterError
from include.core import warehouse
from include.core.domain import Column, Reference
from include.dataops import reference, reference_tables
from include.dataops.reference import Way
from include.dataops.reference_tables import BadReferenceError
from include.flights.domain import domain as flights
from tests.conftest import REPO
from tests.toy_domain.domain import domain as toy
from tests.toy_domain.feed import wards_csv
from tests.warehouse.chain import checksum, execute, rows, value

ASTRO_SDK = REPO / ".venv-astro-sdk" / "bin" / "python"
WARDS = wards_csv().read_text()
ODD = Reference(
    "odd",
    "tests.warehouse.test_reference:odd_file",
    columns=(
        Column("code", "text", "with zeros before it", required=True),
        Column("told", "text", "whatever somebody wrote"),
        Column("share", "double precision", "with all its digits"),
        Column("seen", "timestamptz", "with its offset"),
    ),
    key=("code",),
)
ODD_FILE = '''\ufeffcode,told,share,seen,unasked
007,null,0.1000000000000000055511151231257827,2020-02-29T12:00:00+02:00,1
NA,NA,1e-300,,2

None,"two
lines, and a ""quote""",NA,2020-02-29 12:00:00Z,3
1.0,N/A,-0.30000000000000004,,4
nan,   ,,NA,5
'''


def wards_file() -> Path:
    return Path(os.environ["WARDS_FILE"])


def odd_file() -> Path:
    return Path(os.environ["ODD_FILE"])


def with_tables(*domains):
    with warehouse.transaction() as cursor:
        cursor.execute(warehouse.statement("core/schema"))
        for domain in domains:
            reference_tables.create_tables(cursor, domain)


def load(domain, way=Way.COPY):
    """What the tasks do one after the other where there is no Astro SDK."""
    reference.load_files(reference.find_files(domain))
    return reference.publish(domain, way)


def checksums(domain):
    return {table.name: checksum("reference", table.name) for table in domain.reference}


def shapes(domain):
    with warehouse.transaction() as cursor:
        return {table.name: reference_tables.shape(cursor, table.name) for table in domain.reference}


def load_with_astro_sdk(files, python=ASTRO_SDK):
    """Run the task of the DAG as a worker does, with these files and this interpreter."""
    from airflow.dag_processing.dagbag import DagBag

    found = DagBag(REPO / "dags" / "prepare_project.py")
    assert not found.import_errors
    task = found.dags["prepare_project"].get_task(Way.ASTRO_SDK)
    task.op_args, task.python = [files], str(python)
    interpreter.hand_over_connection({"task": task})
    return task.execute({"ti": None})


@pytest.fixture
def wards(new_database, tmp_path, monkeypatch):
    """A loaded warehouse of the toy domain, and its reference file, which a test may spoil."""
    file = tmp_path / "wards.csv"
    file.write_text(WARDS)
    monkeypatch.setenv("WARDS_FILE", str(file))
    new_database("template1")
    with_tables(domain := of(toy.reference[0].columns))
    load(domain)
    return file


def of(columns, key=("ward",)):
    """The toy domain with other columns of its reference table."""
    declared = Reference("wards", "tests.warehouse.test_reference:wards_file", tuple(columns), key)
    return replace(toy, reference=(declared,))


domain = of(toy.reference[0].columns)
BEFORE = [("north", 12, "1998-05-01", "old"), ("south", 7, "2011-11-30", "new"), ("west", None, None, None)]


def wards_there():
    return rows("select ward, beds, opened::text, wing from reference.wards order by ward")


@pytest.fixture(scope="module")
def both(new_database, tmp_path_factory):
    """What each way leaves of the flights' files and of one that is as odd as a file may be."""
    if not ASTRO_SDK.exists():
        pytest.skip("the interpreter of the Astro SDK is not there: make bootstrap")
    odd = tmp_path_factory.mktemp("odd") / "odd.csv"
    odd.write_text(ODD_FILE)
    everything = replace(flights, reference=(*flights.reference, ODD))
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ODD_FILE", str(odd))
        files = reference.find_files(everything)
        for way, loader in ((Way.ASTRO_SDK, load_with_astro_sdk), (Way.COPY, reference.load_files)):
            new_database("template1")
            with_tables(everything)
            counted = loader(files)
            event = reference.publish(everything, way)
            found[way] = counted, event, checksums(everything), shapes(everything), odd_rows(), planes()
    return found


def odd_rows():
    return rows("select code, told, share, extract(epoch from seen)::bigint from reference.odd order by code")


def planes():
    return rows(
        "select count(*), count(year), count(speed), count(seats), count(model), sum(year) from reference.planes"
    )


def test_both_ways_give_the_same_tables_and_the_event_says_which_way_it_was(both):
    by_astro_sdk, by_copy = both[Way.ASTRO_SDK], both[Way.COPY]
    assert by_astro_sdk[0] == by_copy[0] == {"airlines": 16, "airports": 1458, "planes": 3322, "odd": 5}
    assert by_astro_sdk[1] == {"loaded_by": "astro_sdk", "rows": by_copy[0]}
    assert by_copy[1] == {"loaded_by": "copy", "rows": by_copy[0]}
    assert by_astro_sdk[2:] == by_copy[2:]
    assert None not in by_copy[2].values()


def test_no_value_is_guessed_and_none_is_lost(both):
    *_, odd, found = both[Way.ASTRO_SDK]
    noon = 1582977600
    assert odd == [
        ("007", "null", 0.1, noon - 2 * 3600),
        ("1.0", "N/A", -0.30000000000000004, None),
        ("NA", None, 1e-300, None),
        ("None", 'two\nlines, and a "quote"', None, noon),
        ("nan", "   ", None, None),
    ]
    # Of 3,322 aeroplanes 70 have no year and 3,299 no speed: NA in the file.
    assert found[0][:5] == (3322, 3252, 23, 3322, 3322)


def test_loading_again_leaves_the_same_rows_and_the_meaning_of_each_column_is_in_the_database(wards):
    before = checksums(domain)
    assert wards_there() == BEFORE
    assert load(domain) == {"loaded_by": "copy", "rows": {"wards": 3}}
    assert reference.publish(domain, Way.COPY)["rows"] == {"wards": 3}  # once more after a crash: still staged
    assert checksums(domain) == before
    assert value("select col_description('reference.wards'::regclass, 2)") == "number of beds"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("ward,beds,opened,wing\n", "has no rows"),
        ("ward,beds,wing\nnorth,1,old\n", "lacks opened; it has the columns ward, beds, wing"),
        ("Ward,Beds,Opened,Wing\nnorth,1,,old\n", "lacks ward, beds, opened, wing"),
        (WARDS.replace("beds,opened", "beds,beds,opened"), "has more than one column beds"),
        (f"{WARDS}east,3\n", "has 2 values in line 5, and 4 columns"),
        (f"{WARDS}east,3,,old,more\n", "has 5 values in line 5, and 4 columns"),
        (f"{WARDS}east,soon,,old\n", "beds is not a whole number in line 5: 'soon'"),
        (f"{WARDS}east,1.5,,old\n", "beds is not a whole number in line 5: '1.5'"),
        (f"{WARDS}east,3,yesterday,old\n", "opened is not a date (YYYY-MM-DD) in line 5: 'yesterday'"),
        (f"{WARDS}east,3,31/12/2020,old\n", "opened is not a date (YYYY-MM-DD) in line 5"),
        (f"{WARDS}east,0,,old\n", "beds is below 1 in line 5: '0'"),
        (f"{WARDS}east,3,,left\n", "wing is none of old, new in line 5: 'left'"),
        (f"{WARDS},3,,old\n", "ward is missing in line 5"),
        (f"{WARDS}{'e' * 11},3,,old\n", "ward is longer than 10 characters in line 5"),
        (
            f"{WARDS}east,3,,old\neast,4,,old\nnorth,5,,old\n",
            "the key ward = 'north' stands in the lines 2, 7; the key",
        ),
        (WARDS + "".join(f"e{n},x,,old\n" for n in range(9)), "in line 9: 'x'; and 4 more. Mend"),
    ],
)
def test_a_file_that_is_wrong_is_named_and_changes_nothing(wards, text, told):
    wards.write_text(text)
    with pytest.raises(BadReferenceError) as error:
        load(domain)
    assert told in str(error.value)
    assert str(wards) in str(error.value)
    assert "reference.wards" in str(error.value)
    assert str(error.value).endswith("run prepare_project again. The tables are as they were.")
    assert wards_there() == BEFORE


def test_a_file_that_is_no_text_or_not_there_is_named(wards):
    wards.write_bytes(b"ward,beds,opened,wing\nS\xfcd,1,,old\n")
    with pytest.raises(BadReferenceError, match="is not CSV in UTF-8"):
        load(domain)
    wards.unlink()
    with pytest.raises(BadReferenceError, match="cannot be read: No such file or directory"):
        load(domain)
    assert wards_there() == BEFORE


def test_keys_are_compared_as_values_and_not_as_they_are_written(wards):
    numbered = of(
        (Column("beds", "integer", "number of beds"), Column("opened", "date", "day")), key=("beds", "opened")
    )
    wards.write_text("beds,opened\n7,2020-01-01\n8,2020-01-01\n007,2020-01-01\n")
    with pytest.raises(BadReferenceError, match="the key beds, opened = '7', '2020-01-01' stands in the lines 2, 4"):
        load(numbered)


def test_a_wrong_file_among_several_changes_none_of_the_tables(wards):
    more = replace(domain, reference=(*domain.reference, replace(ODD, file="tests.warehouse.test_reference:odd_file")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ODD_FILE", str(wards.with_name("odd.csv")))
        wards.with_name("odd.csv").write_text("code,told,share,seen\n1,,much,\n")
        wards.write_text("ward,beds,opened,wing\neast,1,,old\n")
        with pytest.raises(BadReferenceError, match="share is not a number in line 2: 'much'"):
            load(more)
    assert wards_there() == BEFORE


def test_a_column_that_is_not_declared_is_left_out_with_a_warning(wards, caplog):
    wards.write_text("colour,ward,beds,opened,wing\nred,north,12,1998-05-01,old\n")
    load(domain)
    assert wards_there() == BEFORE[:1]
    assert "has columns that reference.wards does not declare, and is loaded without them: colour" in caplog.text


@pytest.mark.parametrize(
    ("columns", "shape"),
    [
        (("ward text", "beds integer", "opened date", "wing text", "floor smallint"), "floor"),
        (("ward text", "beds bigint", "opened date", "wing text"), "beds"),
        (("wing text", "ward text", "beds integer"), "opened"),
    ],
)
def test_a_declaration_that_changed_makes_the_table_anew(wards, columns, shape):
    wards.write_text("ward,beds,opened,wing,floor\nnorth,12,1998-05-01,old,3\n")
    declared = [Column(*column.split(" ", 1), "a meaning", required=column.startswith("ward")) for column in columns]
    changed = of(declared)
    assert shapes(changed) == shapes(domain)
    assert load(changed)["rows"] == {"wards": 1}
    assert [(name, type_) for name, type_, *_ in shapes(changed)["wards"]] == [(c.name, c.type) for c in declared]
    assert value("select col_description('reference.wards'::regclass, 1)") == "a meaning"


def test_a_table_of_an_earlier_version_is_replaced_by_a_typed_one(wards):
    execute("drop table reference.wards; create table reference.wards (ward text, beds double precision, wing text)")
    execute("insert into reference.wards values ('gone', 1, 'old')")
    with_tables(domain)
    assert value("select ward from reference.wards") == "gone"
    load(domain)
    assert wards_there() == BEFORE
    assert shapes(domain)["wards"] == [
        ("ward", "text", True, 1),
        ("beds", "integer", False, None),
        ("opened", "date", False, None),
        ("wing", "text", False, None),
    ]


def test_a_table_that_must_be_made_anew_is_kept_when_something_depends_on_it(wards):
    execute("create view reference.large as select ward from reference.wards where beds > 10")
    load(domain)  # the shape is the same: the view stays
    assert value("select ward from reference.large") == "north"
    with pytest.raises(BadReferenceError, match=r"different: floor.*view reference\.large depends on table"):
        load_more_columns(wards)
    assert wards_there() == BEFORE


def load_more_columns(wards):
    wards.write_text("ward,beds,opened,wing,floor\neast,12,1998-05-01,old,3\n")
    return load(of((*domain.reference[0].columns, Column("floor", "smallint", "on which floor"))))


def test_what_was_staged_for_another_declaration_or_not_at_all_is_not_published(wards):
    with pytest.raises(BadReferenceError, match="lacks floor; it has the columns ward, beds, opened, wing"):
        reference.publish(of((*domain.reference[0].columns, Column("floor", "smallint", "floor"))), Way.COPY)
    execute("drop table staging.reference_wards")
    with pytest.raises(BadReferenceError, match=r"Nothing is staged for reference\.wards\. Run prepare_project again"):
        reference.publish(domain, Way.COPY)
    assert wards_there() == BEFORE


def test_no_reader_sees_an_empty_table_and_none_waits_for_the_refresh(wards, postgres):
    counted, over = set(), Event()
    name = value("select current_database()")

    def connect():
        return closing(psycopg2.connect(host=str(postgres), dbname=name, user="postgres"))

    def read():
        with connect() as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("set lock_timeout = '5s'")
            while not over.is_set():
                cursor.execute("select count(*) from reference.wards")
                counted.add(cursor.fetchone()[0])

    reader = Thread(target=read)
    with connect() as connection, connection.cursor() as cursor:
        connection.set_session(isolation_level="REPEATABLE READ")
        cursor.execute("select count(*) from pg_class")  # its view of the database is taken here
        reader.start()
        wards.write_text(f"{WARDS}east,1,,old\n")
        for _ in range(10):
            load(domain)
        with warehouse.transaction() as refresh:  # in the middle of a refresh
            reference_tables.replace(refresh, domain.reference[0])
            cursor.execute("select count(*) from reference.wards")
            assert cursor.fetchone() == (3,)
        over.set()
        reader.join()
    assert counted <= {3, 4}
    assert 4 in counted


def test_a_domain_without_reference_tables_needs_no_interpreter(wards, monkeypatch):
    monkeypatch.setenv(interpreter.VARIABLE, "/nowhere/python")
    nothing = replace(toy, reference=())
    assert reference.find_files(nothing) == {}
    assert reference.choose_way(nothing) is None


@pytest.mark.parametrize(
    ("named", "way"), [(str(ASTRO_SDK), Way.ASTRO_SDK), ("", Way.COPY), (None, Way.COPY)], ids=["set", "empty", "unset"]
)
def test_the_way_is_that_of_the_interpreter_there_is(monkeypatch, named, way):
    if (named and not ASTRO_SDK.exists()) or (named is None and Path(interpreter.OF_THE_IMAGE).exists()):
        pytest.skip("not so on this machine")
    monkeypatch.delenv(interpreter.VARIABLE, raising=False)
    if named is not None:
        monkeypatch.setenv(interpreter.VARIABLE, named)
    assert reference.choose_way(toy) == way.value


def test_the_interpreter_of_the_image_counts_when_none_is_named(monkeypatch):
    monkeypatch.delenv(interpreter.VARIABLE, raising=False)
    monkeypatch.setattr(interpreter, "OF_THE_IMAGE", sys.executable)
    with pytest.raises(
        UnusableInterpreterError, match=f"There is {sys.executable}, and it does not have the Astro SDK"
    ):
        reference.choose_way(toy)


BROKEN = {
    "absent": (None, "and no file is there"),
    "not executable": ("#!/bin/sh\n", "and it cannot be started: Permission denied"),
    "no program": ("\x7fELF nonsense", "and it cannot be started: Exec format error"),
    "without its base": ("#!/nowhere/python3\n", "and it cannot be started: No such file or directory"),
    "crashing": ("#!/bin/sh\nkill -SEGV $$\n", "and it does not have the Astro SDK: exit status -11"),
    "without astro": (
        f'#!/bin/sh\nexec {sys.executable} "$@"\n',
        "PackageNotFoundError: No package metadata was found",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_an_interpreter_that_is_named_and_broken_is_an_error_that_says_what_to_do(tmp_path, monkeypatch, broken):
    python = tmp_path / "python"
    text, told = BROKEN[broken]
    if text is not None:
        python.write_text(text)
        python.chmod(stat.S_IRUSR if broken == "not executable" else stat.S_IRWXU)
    monkeypatch.setenv(interpreter.VARIABLE, str(python))
    with pytest.raises(UnusableInterpreterError) as error:
        reference.choose_way(toy)
    assert str(error.value).startswith(f"{interpreter.VARIABLE} names {python}, and ")
    assert told in str(error.value)
    assert "Make it from include/astro_sdk/requirements.lock" in str(error.value)
    assert "set ASTRO_SDK_PYTHON to nothing (ASTRO_SDK_PYTHON=) to load the reference tables without" in str(
        error.value
    )


def test_an_astro_sdk_that_cannot_be_imported_says_so_and_what_to_do(wards):
    bare = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if not bare.exists():
        pytest.skip("no bare interpreter here")
    with pytest.raises(Exception, match="cannot import the Astro SDK") as error:
        load_with_astro_sdk({"wards": str(wards)}, bare)
    assert "No module named 'astro'" in str(error.value)
    assert "set ASTRO_SDK_PYTHON to nothing" in str(error.value)
    assert wards_there() == BEFORE


def test_an_interpreter_that_dies_in_the_middle_says_so_and_what_to_do(wards, tmp_path):
    """Killed while it imports the Astro SDK, as the kernel does when memory runs out."""
    bare = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if not bare.exists():
        pytest.skip("no bare interpreter here")
    (tmp_path / "astro").mkdir()
    (tmp_path / "astro" / "__init__.py").write_text("import os; os.kill(os.getpid(), 9)")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {bare} "$@"\n')
    python.chmod(stat.S_IRWXU)
    with pytest.raises(Exception, match="crashed or was killed, perhaps for lack of memory") as error:
        load_with_astro_sdk({"wards": str(wards)}, python)
    assert "set ASTRO_SDK_PYTHON to nothing" in str(error.value)


def test_the_connection_is_handed_over_with_its_extra_and_only_when_the_task_runs(monkeypatch):
    from types import SimpleNamespace

    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE", "postgres://me:s%25cret@db.example:6543/house?sslmode=require&connect_timeout=5"
    )
    task = SimpleNamespace(env_vars=None)
    interpreter.hand_over_connection({"task": task})
    assert set(task.env_vars) == {"AIRFLOW_CONN_WAREHOUSE"}
    assert '"password": "s%cret"' in task.env_vars["AIRFLOW_CONN_WAREHOUSE"]
    assert '"extra": {"sslmode": "require", "connect_timeout": "5"}' in task.env_vars["AIRFLOW_CONN_WAREHOUSE"]
