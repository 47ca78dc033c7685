"""The official Python SDK makes a TUPLE topic of one shard from a schema's JSON text.

    python create_topic.py <endpoint> <access id> <access key> <project> <topic> <schema>
"""

import sys

from datahub import DataHub
from datahub.models import RecordSchema

ENDPOINT, ACCESS_ID, ACCESS_KEY, PROJECT, TOPIC, SCHEMA = sys.argv[1:7]

hub = DataHub(ACCESS_ID, ACCESS_KEY, ENDPOINT)
hub.create_tuple_topic(PROJECT, TOPIC, 1, 3, RecordSchema.from_json_str(SCHEMA), "")
hub.wait_shards_ready(PROJECT, TOPIC)
