//! The protobuf messages of record calls.
//!
//! Attributes and data of a record are taken as bytes: a stored record then is a slice of the request's body.

use bytes::Bytes;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct StringPair {
    #[prost(string, required, tag = "1")]
    pub(crate) key: String,
    #[prost(string, required, tag = "2")]
    pub(crate) value: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct RecordAttributes {
    #[prost(message, repeated, tag = "1")]
    pub(crate) attributes: Vec<StringPair>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct FieldData {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) value: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct RecordData {
    #[prost(message, repeated, tag = "1")]
    pub(crate) data: Vec<FieldData>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct RecordEntry {
    #[prost(string, optional, tag = "1")]
    pub(crate) shard_id: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) hash_key: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(crate) partition_key: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(crate) cursor: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub(crate) next_cursor: Option<String>,
    #[prost(int64, optional, tag = "6")]
    pub(crate) sequence: Option<i64>,
    #[prost(int64, optional, tag = "7")]
    pub(crate) system_time: Option<i64>,
    /// A [`RecordAttributes`].
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub(crate) attributes: Option<Bytes>,
    /// A [`RecordData`].
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub(crate) data: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct PutRecordsRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) records: Vec<RecordEntry>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct FailedRecord {
    #[prost(int32, required, tag = "1")]
    pub(crate) index: i32,
    // Present even when empty: one SDK reads them without looking.
    #[prost(string, optional, tag = "2")]
    pub(crate) error_code: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(crate) error_message: Option<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct PutRecordsResponse {
    // Present even when zero, as above.
    #[prost(int32, optional, tag = "1")]
    pub(crate) failed_count: Option<i32>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) failed_records: Vec<FailedRecord>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct GetRecordsRequest {
    #[prost(string, required, tag = "1")]
    pub(crate) cursor: String,
    #[prost(int32, optional, tag = "2")]
    pub(crate) limit: Option<i32>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct GetRecordsResponse {
    #[prost(string, required, tag = "1")]
    pub(crate) next_cursor: String,
    #[prost(int32, required, tag = "2")]
    pub(crate) record_count: i32,
    #[prost(int64, optional, tag = "3")]
    pub(crate) start_sequence: Option<i64>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) records: Vec<RecordEntry>,
    #[prost(int64, optional, tag = "5")]
    pub(crate) latest_sequence: Option<i64>,
    #[prost(int64, optional, tag = "6")]
    pub(crate) latest_time: Option<i64>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct BinaryRecordEntry {
    #[prost(string, optional, tag = "1")]
    pub(crate) cursor: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) next_cursor: Option<String>,
    #[prost(int64, optional, tag = "3")]
    pub(crate) sequence: Option<i64>,
    #[prost(int64, optional, tag = "4")]
    pub(crate) system_time: Option<i64>,
    #[prost(uint32, optional, tag = "5")]
    pub(crate) serial: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(crate) data: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct PutBinaryRecordsRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) records: Vec<BinaryRecordEntry>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct GetBinaryRecordsResponse {
    #[prost(string, required, tag = "1")]
    pub(crate) next_cursor: String,
    #[prost(int32, required, tag = "2")]
    pub(crate) record_count: i32,
    #[prost(int64, optional, tag = "3")]
    pub(crate) start_sequence: Option<i64>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) records: Vec<BinaryRecordEntry>,
    #[prost(int64, optional, tag = "5")]
    pub(crate) latest_sequence: Option<i64>,
    #[prost(int64, optional, tag = "6")]
    pub(crate) latest_time: Option<i64>,
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn required_fields_are_written_even_when_zero() {
        let answer = PutRecordsResponse {
            failed_count: Some(0),
            failed_records: vec![],
        };
        assert_eq!(answer.encode_to_vec(), [8, 0]);
        let failed = FailedRecord {
            index: 0,
            error_code: Some(String::new()),
            error_message: Some(String::new()),
        };
        assert_eq!(failed.encode_to_vec(), [8, 0, 0x12, 0, 0x1a, 0]);
    }

    #[test]
    fn a_decoded_record_shares_the_body() {
        let entry = RecordEntry {
            data: Some(Bytes::from(vec![7; 100])),
            ..RecordEntry::default()
        };
        let body = Bytes::from(PutRecordsRequest { records: vec![entry] }.encode_to_vec());
        let range = body.as_ptr_range();
        let back = PutRecordsRequest::decode(body.clone()).unwrap();
        let data = back.records[0].data.clone().unwrap();
        assert!(range.contains(&data.as_ptr()));
    }
}
