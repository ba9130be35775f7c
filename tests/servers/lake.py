"""Reads tables of a lake with engines that no one here wrote: pyiceberg, pyarrow and DuckDB.

One question is one line of JSON on standard input, its answer one line on standard output:
{"ok": ...} or {"error": "..."}.  tests/src/lake.rs asks, and says what the questions mean.

Rows come as texts in one form, whatever engine read them, with a form for each column (`Shown` of
tests/src/database/shown.rs):

  truth    booleans: 1 and 0
  real     floating point: the shortest text of the double it is or widens to
  bytes    bytes in hexadecimal, upper case
  time     2024-01-31 23:59:59.000001 and 23:59:59.000001, points in time in UTC; nine digits for nanoseconds
  printed  the rest: whole numbers and decimals plain (1.50, never 15E-1), dates as 2024-01-31, durations
           as whole microseconds, UUIDs with hyphens, texts as they are, and what is nested as JSON of
           such texts
"""

import json
import os
import sys
from datetime import date, datetime, timedelta
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet
from pyiceberg.catalog import load_catalog
from pyiceberg.table import StaticTable

EXTENSIONS = ("avro", "httpfs", "iceberg")
EPOCH = datetime(1970, 1, 1)
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def point_in_time(value, unit):
    """A count since 1970 as text."""
    seconds, part = divmod(value, PER_SECOND[unit])
    nanoseconds = part * (10**9 // PER_SECOND[unit])
    digits = f"{nanoseconds:09}" if unit == "ns" else f"{nanoseconds // 1000:06}"
    try:
        moment = EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return f"{value} {unit}"
    return f"{moment.isoformat(sep=' ')}.{digits}"


def time_of_day(value, unit):
    return point_in_time(value, unit).removeprefix("1970-01-01 ")


def day(value):
    try:
        return (date(1970, 1, 1) + timedelta(days=value)).isoformat()
    except OverflowError:
        return f"{value} days"


def form(kind):
    """How the values of an Arrow type are shown."""
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.UuidType):
        kind = kind.storage_type
    if pa.types.is_boolean(kind):
        return "truth"
    if pa.types.is_floating(kind):
        return "real"
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return "time"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return "bytes"
    return "printed"


def texts(column):
    """An Arrow array as a list of texts."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.UuidType):
        return texts(column.cast(kind.storage_type))
    if pa.types.is_dictionary(kind):
        return texts(column.cast(kind.value_type))
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        show = point_in_time if pa.types.is_timestamp(kind) else time_of_day
        whole = column.cast(pa.int32() if pa.types.is_time32(kind) else pa.int64())
        return [None if value is None else show(value, kind.unit) for value in whole.to_pylist()]
    if pa.types.is_duration(kind):
        return texts(column.cast(pa.duration("us")).cast(pa.int64()))
    if pa.types.is_date(kind):
        return [None if value is None else day(value) for value in column.cast(pa.date32()).cast(pa.int32()).to_pylist()]
    return [plain(value) for value in column.to_pylist()]


def plain(value):
    """A value as Python has it as a text."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex().upper()
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(nested(value), ensure_ascii=False)
    return str(value)


def nested(value):
    if isinstance(value, dict):
        return {name: nested(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [nested(part) for part in value]
    return plain(value)


def shown(table):
    """An Arrow table as columns with their forms, and rows of texts."""
    columns = [[field.name, form(field.type)] for field in table.schema]
    values = [texts(column) for column in table.columns]
    return {"columns": columns, "rows": [list(row) for row in zip(*values)]}


class Engines:
    def __init__(self):
        self.duckdb = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        for name in EXTENSIONS:
            folder = os.path.dirname(__import__(f"duckdb_extension_{name}").__file__)
            path = os.path.join(folder, "extensions", f"v{duckdb.__version__}", f"{name}.duckdb_extension")
            self.duckdb.execute(f"LOAD '{path}'")
        self.duckdb.execute("SET TimeZone = 'UTC'; SET enable_external_file_cache = false")

    def reach(self, properties):
        """Lets DuckDB into the S3 service of these properties of a catalog."""
        endpoint = properties.get("s3.endpoint")
        if endpoint is None:
            return
        scheme, _, host = endpoint.partition("://")
        options = {
            "TYPE": "s3",
            "KEY_ID": properties["s3.access-key-id"],
            "SECRET": properties["s3.secret-access-key"],
            "REGION": properties["s3.region"],
            "ENDPOINT": host,
            "URL_STYLE": "path",
            "USE_SSL": "true" if scheme == "https" else "false",
        }
        given = ", ".join(f"{name} '{value}'" for name, value in options.items())
        self.duckdb.execute(f"CREATE OR REPLACE SECRET lake ({given})")

    def query(self, sql, properties):
        self.reach(properties)
        return self.duckdb.execute(sql).to_arrow_table()

    def catalog(self, place):
        return load_catalog("lake", **place["properties"])

    def table(self, place):
        """A table as it is now."""
        if "metadata" in place:
            return StaticTable.from_metadata(place["metadata"], properties=place["properties"])
        return self.catalog(place).load_table(place["name"])

    # The questions.

    def rows(self, table, snapshot=None):
        return shown(self.table(table).scan(snapshot_id=snapshot).to_arrow())

    def rows_by_duckdb(self, table):
        location = self.table(table).metadata_location
        return shown(self.query(f"SELECT * FROM iceberg_scan('{quoted(location)}')", table["properties"]))

    def duckdb_rows(self, sql, properties):
        return shown(self.query(sql, properties))

    def parquet(self, folder):
        """By pyarrow: every Parquet file below a folder that is not hidden, with folders a=1 as columns."""
        return shown(pa.parquet.read_table(folder))

    def parquet_schema(self, file):
        read = pa.parquet.ParquetFile(file)
        fields = [[field.name, str(field.type), field.nullable] for field in read.schema_arrow]
        codecs = {read.metadata.row_group(group).column(column).compression
                  for group in range(read.metadata.num_row_groups) for column in range(read.metadata.num_columns)}
        return {"fields": fields, "codecs": sorted(codecs), "row_groups": read.metadata.num_row_groups,
                "rows": read.metadata.num_rows, "created_by": read.metadata.created_by}

    def tables(self, table):
        """The tables of the namespace that a name begins with."""
        catalog = self.catalog(table)
        namespace = tuple(table["name"].split(".")[:-1])
        if namespace not in [tuple(found) for found in catalog.list_namespaces()]:
            return []
        return sorted(".".join(name) for name in catalog.list_tables(namespace))

    def describe(self, table):
        table = self.table(table)
        schema, metadata = table.schema(), table.metadata
        fields = [
            {"id": field.field_id, "name": field.name, "type": str(field.field_type), "required": field.required,
             "doc": field.doc}
            for field in schema.fields
        ]
        partition = [
            {"name": field.name, "transform": str(field.transform), "source": schema.find_column_name(field.source_id)}
            for field in table.spec().fields
        ]
        snapshots = [
            {"id": snapshot.snapshot_id, "parent": snapshot.parent_snapshot_id, "sequence": snapshot.sequence_number,
             "operation": snapshot.summary.operation.value, "summary": dict(snapshot.summary.additional_properties)}
            for snapshot in metadata.snapshots
        ]
        return {
            "location": table.location(),
            "metadata": table.metadata_location,
            "format": metadata.format_version,
            "properties": dict(metadata.properties),
            "fields": fields,
            "schemas": len(metadata.schemas),
            "identifier": sorted(schema.identifier_field_names()),
            "partition": partition,
            "snapshots": snapshots,
            "current": metadata.current_snapshot_id,
        }

    def files(self, table):
        kinds = {0: "data", 1: "position deletes", 2: "equality deletes"}
        table = self.table(table)
        if table.current_snapshot() is None:
            return []
        return [
            {"kind": kinds[file["content"]], "path": file["file_path"], "format": file["file_format"],
             "rows": file["record_count"], "bytes": file["file_size_in_bytes"],
             "partition": {name: plain(value) for name, value in (file["partition"] or {}).items()}}
            for file in table.inspect.files().to_pylist()
        ]

    def make(self, table, sql, partition, identifier, properties):
        rows = self.query(sql, table["properties"])
        catalog = self.catalog(table)
        catalog.create_namespace_if_not_exists(tuple(table["name"].split(".")[:-1]))
        made = catalog.create_table(table["name"], schema=rows.schema, properties=properties)
        if identifier:
            with made.update_schema(allow_incompatible_changes=True) as update:
                for name in identifier:
                    update.update_column(name, required=True)
                update.set_identifier_fields(*identifier)
        if partition:
            with made.update_spec() as update:
                for column, transform in partition:
                    update.add_field(column, transform)
        if rows.num_rows:
            made.append(fitting(rows, made))

    def append(self, table, sql):
        rows = self.query(sql, table["properties"])
        found = self.table(table)
        found.append(fitting(rows, found))

    def expire(self, table):
        found = self.table(table)
        found.maintenance.expire_snapshots().older_than(datetime.now() + timedelta(days=1)).commit()

    def delete(self, table, condition):
        self.table(table).delete(condition)

    def alter(self, table, add, drop, rename):
        found = self.table(table)
        with found.update_schema() as update:
            if add:
                update.union_by_name(self.query(f"SELECT {add} LIMIT 0", {}).schema)
            for name in drop:
                update.delete_column(name)
            for name, new in rename:
                update.rename_column(name, new)

    def drop(self, table):
        self.catalog(table).drop_table(table["name"])


def fitting(rows, table):
    """Rows whose columns may be NULL as far as the table's may."""
    required = {field.name for field in table.schema().fields if field.required}
    fields = [field.with_nullable(field.name not in required) for field in rows.schema]
    return rows.cast(pa.schema(fields))


def quoted(text):
    return text.replace("'", "''")


def main():
    # Whatever a library prints is no answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    engines = Engines()
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"ok": getattr(engines, question.pop("ask"))(**question)}
        except Exception as error:  # pylint: disable=broad-except
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


main()
