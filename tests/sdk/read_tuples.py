"""The official Python SDK reads a TUPLE topic from its beginning to its end, by both of its protocols.

    python read_tuples.py <endpoint> <access id> <access key> <project> <topic>

Prints one JSON line a record and protocol: the protocol, then for each field its name, the Python type of the value
and its text. Numbers are shown by repr: the text that a Python reader sees.
"""

import json
import sys

from datahub import DataHub
from datahub.core import DatahubProtocolType
from datahub.models import CompressFormat, CursorType

ENDPOINT, ACCESS_ID, ACCESS_KEY, PROJECT, TOPIC = sys.argv[1:6]

for protocol in (DatahubProtocolType.JSON, DatahubProtocolType.PB):
    hub = DataHub(
        ACCESS_ID, ACCESS_KEY, ENDPOINT, protocol_type=protocol, compress_format=CompressFormat.LZ4
    )
    schema = hub.get_topic(PROJECT, TOPIC).record_schema
    for shard in hub.list_shard(PROJECT, TOPIC).shards:
        cursor = hub.get_cursor(PROJECT, TOPIC, shard.shard_id, CursorType.OLDEST).cursor
        while True:
            result = hub.get_tuple_records(PROJECT, TOPIC, shard.shard_id, schema, cursor, 100)
            if result.record_count == 0:
                break
            for record in result.records:
                values = [
                    [field.name, type(value).__name__, str(value)]
                    for field, value in zip(schema.field_list, record.values)
                ]
                print(json.dumps([protocol.name, values]))
            cursor = result.next_cursor
