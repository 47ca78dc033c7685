"""The official Python SDK unpacks bodies that the relay packed.

    python unpack.py <directory>

For every <n>.lz4 there must come out what <n>.raw holds. Ends with a line "bodies <n>".
"""

import sys
from pathlib import Path

from datahub.models.compress import CompressFormat, get_compressor

lz4 = get_compressor(CompressFormat.LZ4)
count = 0
for packed in Path(sys.argv[1]).glob("*.lz4"):
    raw = packed.with_suffix(".raw").read_bytes()
    if lz4.decompress(packed.read_bytes(), len(raw)) != raw:
        raise SystemExit(f"{packed.name}: other bytes")
    count += 1
print("bodies", count)
