"""Small ways to spoil a file of CSV, each a function of its bytes and two numbers that say where and with what."""

from collections.abc import Callable

Mutation = Callable[[bytes, int, int], bytes]

BYTES = [b'"', b'""', b",", b";", b"\t", b" ", b"'", b"%", b"%s", b"-", b"0", b"\\", b"\\N", b"\n", b"\r", b"\r\n"]
BYTES += [b"\n\\.\n", b"\r\\.\r", b"\0", b"\1", b"\x1a", b"\x85", b"\xc2\xa0", b"\xc3", b"\xff", b"\xef\xbb\xbf"]
VALUES = [b"", b'""', b'" "', b"1e3", b"12.0", b" 12 ", b"+5", b"-1", b"007", b"0x1A", b"0x_1A", b"1_000", b"NaN"]
VALUES += [b"99999999999", b"32768", b"\xd9\xa1", b"2020-03-01", b"2020-3-1", b"2020-02-30", b"2020-03-1 ", b"now"]
VALUES += [b"2020-03-02", b"2020-02-29", b"2013-01-05", b"infinity", b"v1", b"north", b"NA", b"UA", b"ZZ", b"EWR"]
VALUES += [b'"a\nb"', b'"a\r\nb"', b'"a""b"', b'a"b"c', b'"a,b"', b"\\.", b"null", b"'); drop table raw.visits; --"]
VALUES += ["ü".encode() * 60, "ü".encode() * 101, b"y" * 20_000]
NAMES = [b"", b"note", b"age", b" age ", b"Age", b"+age", b"_n", b"line", b"n" * 70, b'"a ""b"""', b"%s", "ü".encode()]


def flip(content: bytes, at: int, what: int) -> bytes:
    """Another byte somewhere."""
    at %= len(content) or 1
    return content[:at] + bytes([what % 256]) + content[at + 1 :]


def delete(content: bytes, at: int, what: int) -> bytes:
    """A few bytes less."""
    at %= len(content) or 1
    return content[:at] + content[at + 1 + what % 4 :]


def insert(content: bytes, at: int, what: int) -> bytes:
    """A few bytes more, of those that mean something to a reader."""
    at %= len(content) + 1
    return content[:at] + BYTES[what % len(BYTES)] + content[at:]


def truncate(content: bytes, at: int, what: int) -> bytes:
    """The end is missing; often just the last line end."""
    return content[:-1] if what % 2 else content[: at % (len(content) + 1)]


def repeat_line(content: bytes, at: int, what: int) -> bytes:
    """A line is there twice."""
    lines = content.splitlines(keepends=True) or [b""]
    return b"".join([*lines, lines[at % len(lines)]]) if what % 2 else b"".join([*lines[:1], *lines])


def remove_line(content: bytes, at: int, what: int) -> bytes:
    """A line is missing."""
    lines = content.splitlines(keepends=True) or [b""]
    del lines[at % len(lines)]
    return b"".join(lines)


def move_line(content: bytes, at: int, what: int) -> bytes:
    """A line stands elsewhere."""
    lines = content.splitlines(keepends=True) or [b""]
    lines.insert(what % len(lines), lines.pop(at % len(lines)))
    return b"".join(lines)


def blank_line(content: bytes, at: int, what: int) -> bytes:
    """An empty line, often the last."""
    lines = content.splitlines(keepends=True)
    lines.insert(len(lines) if what % 2 else at % (len(lines) + 1), b"\n")
    return b"".join(lines)


def set_value(content: bytes, at: int, what: int) -> bytes:
    """Another value in one place."""
    lines = [line.split(b",") for line in content.split(b"\n")]
    line = lines[1 + at % max(1, len(lines) - 2)] if len(lines) > 2 else lines[0]
    line[(at // 7) % len(line)] = VALUES[what % len(VALUES)]
    return b"\n".join(b",".join(line) for line in lines)


def quote_line(content: bytes, at: int, what: int) -> bytes:
    """Every value of a line in quotes."""
    lines = content.split(b"\n")
    at %= len(lines)
    lines[at] = b",".join(b'"' + value + b'"' for value in lines[at].split(b","))
    return b"\n".join(lines)


def swap_columns(content: bytes, at: int, what: int) -> bytes:
    """Two columns change places, in every line."""

    def swap(line: list[bytes]) -> None:
        line[a], line[b] = line[b], line[a]

    a, b = at % 5, what % 5
    return _columns(content, swap)


def drop_column(content: bytes, at: int, what: int) -> bytes:
    """A column is missing, in every line."""

    def drop(line: list[bytes]) -> None:
        del line[at % len(line)]

    return _columns(content, drop)


def add_column(content: bytes, at: int, what: int) -> bytes:
    """One column more, in every line."""

    def add(line: list[bytes]) -> None:
        line.insert(at % 6, VALUES[(what + len(line[0])) % 18] if seen else NAMES[what % len(NAMES)])
        seen.append(True)

    seen: list[bool] = []
    return _columns(content, add)


def rename_column(content: bytes, at: int, what: int) -> bytes:
    """A column has another name."""
    header, newline, rest = content.partition(b"\n")
    names = header.split(b",")
    names[at % len(names)] = NAMES[what % len(NAMES)]
    return b",".join(names) + newline + rest


def change_delimiter(content: bytes, at: int, what: int) -> bytes:
    """Something else between the values."""
    return content.replace(b",", [b";", b"\t", b"|", b", "][what % 4])


def change_line_ends(content: bytes, at: int, what: int) -> bytes:
    """Line ends of another kind, sometimes from a place on only."""
    at = at % (len(content) + 1) if what % 3 == 0 else 0
    return content[:at] + content[at:].replace(b"\n", b"\r" if what % 5 == 0 else b"\r\n")


def encode(content: bytes, at: int, what: int) -> bytes:
    """Another encoding, or a byte order mark."""
    text = content.decode("utf-8", "replace")
    encodings = ("utf-8-sig", "utf-16", "latin-1", "utf-8-sig", "cp1252")
    return text.encode(encodings[what % len(encodings)], "replace")


def _columns(content: bytes, change: Callable[[list[bytes]], None]) -> bytes:
    """Change the list of values of every line, as far as commas alone tell them."""
    changed = []
    for line in content.split(b"\n"):
        values = line.split(b",")
        if len(values) >= 5:
            change(values)
        changed.append(b",".join(values))
    return b"\n".join(changed)


# The first ones leave a file that can be read more often, so they are drawn more often.
GENTLE: list[Mutation] = [set_value, set_value, set_value, repeat_line, remove_line, move_line, quote_line]
GENTLE += [swap_columns, add_column, drop_column, insert, flip]
HARSH: list[Mutation] = [delete, truncate, blank_line, rename_column, change_delimiter, change_line_ends, encode]
MUTATIONS: list[Mutation] = [*GENTLE, *GENTLE, *GENTLE, *HARSH]
