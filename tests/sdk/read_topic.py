"""The official Python SDK reads a topic from its beginning to its end, shard by shard.

    python read_topic.py <endpoint> <access id> <access key> <project> <topic>

Every record must be JSON with the keys of the envelope, and carry its id. Ends with a line "records <n>"; an
exception tells what is wrong.
"""

import json
import sys

from datahub import DataHub
from datahub.core import DatahubProtocolType
from datahub.models import CompressFormat, CursorType

ENDPOINT, ACCESS_ID, ACCESS_KEY, PROJECT, TOPIC = sys.argv[1:6]
ENVELOPE = {"before", "after", "source", "op", "ts_ms", "transaction"}
SOURCE = {"connector", "name", "db", "table", "ts_ms", "server_id", "file", "pos", "row"}

hub = DataHub(
    ACCESS_ID, ACCESS_KEY, ENDPOINT, protocol_type=DatahubProtocolType.PB, compress_format=CompressFormat.LZ4
)
count, ids = 0, set()
for shard in hub.list_shard(PROJECT, TOPIC).shards:
    # A shard without records has no oldest one, and a cursor there reads nothing.
    cursor = hub.get_cursor(PROJECT, TOPIC, shard.shard_id, CursorType.OLDEST).cursor
    while True:
        result = hub.get_blob_records(PROJECT, TOPIC, shard.shard_id, cursor, 1000)
        if result.record_count == 0:
            break
        for record in result.records:
            data = record.blob_data
            change = json.loads(data if isinstance(data, str) else data.decode("utf-8"))
            missing = ENVELOPE - set(change) | SOURCE - set(change["source"])
            assert not missing, (missing, change)
            present = {"c": (False, True), "u": (True, True), "d": (True, False)}[change["op"]]
            assert (change["before"] is not None, change["after"] is not None) == present, change
            ids.add(record.attributes["cdc.id"])
            count += 1
        cursor = result.next_cursor
assert len(ids) == count, (len(ids), count)
print("records", count)
