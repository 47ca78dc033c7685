#!/usr/bin/env python3
"""Applies the job's changelogs and compares with what the source database said.

    verify.py RECORDED OUT      RECORDED: of record.sh; OUT: the job's output directory

The comparison is of whole rows, as sets with counts: a row too many, missing, twice or different is an error.
"""
import collections
import decimal
import json
import pathlib
import sys


def plain(name, value):
    """One spelling for a value: Flink writes 0.06 s for .060, and decimals as numbers."""
    if value is None:
        return None
    if name == "amount":
        return decimal.Decimal(value).normalize()
    if name.endswith("_at"):
        whole, _, fraction = value.removesuffix("Z").partition(".")
        return whole + "." + fraction.rstrip("0")
    return value


def row(columns):
    return tuple(sorted((name, plain(name, value)) for name, value in columns.items()))


def lines(files):
    for file in files:
        for line in file.read_text("utf-8").splitlines():
            yield json.loads(line, parse_float=decimal.Decimal)


def compare(what, expected_file, changelog):
    expected = collections.Counter(row(columns) for columns in lines([expected_file]))
    rows, changes = collections.Counter(), 0
    parts = sorted(file for file in changelog.iterdir() if file.name.startswith("part-"))
    for change in lines(parts):
        changes += 1
        if change["before"] is not None:
            rows[row(change["before"])] -= 1
        if change["after"] is not None:
            rows[row(change["after"])] += 1
    rows = collections.Counter({key: count for key, count in rows.items() if count})
    if not expected or rows != expected:
        wrong = sorted({key for key in rows | expected if rows[key] != expected[key]}, key=str)
        print(f"{what}: {len(wrong)} rows differ, {sum(expected.values())} expected", file=sys.stderr)
        for key in wrong[:5]:
            print(f"  {expected[key]} expected, {rows[key]} found: {dict(key)}", file=sys.stderr)
        return False
    print(f"{what}: {changes} changes in {len(parts)} files make the {len(expected)} rows of the source")
    return True


recorded, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
results = [compare(name, recorded / f"{name}.json", out / name) for name in ("orders", "revenue")]
sys.exit(0 if all(results) else 1)
