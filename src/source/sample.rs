//! Binlogs for tests: one that a server wrote, and ones made event by event.

use super::decode::{self, HEADER_BYTES, Header, Meaning, kind};
use super::schema::{ColumnDefinition, TableDefinition};
use crate::change::TableId;
use crate::position::Uuid;

/// An event as the library hands it over: header, and body without checksum.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) header: Header,
    pub(super) body: Vec<u8>,
    /// The checksum behind it.
    pub(super) sum: [u8; 4],
}

/// Name of the recorded file on its server.
pub(super) const RECORDED: &str = "bin.000001";

/// The events of `tests/binlogs/mariadb-10.11.bin` up to the first XA transaction.
pub(super) fn recorded() -> Vec<Sample> {
    let mut events = recorded_with_xa();
    let prepared = |event: &Sample| {
        matches!(
            decode::parse(&event.header, &event.body),
            Ok(Meaning::MariaGtid { prepared: true, .. })
        )
    };
    let xa = events.iter().position(prepared);
    events.truncate(xa.unwrap());
    events
}

/// All events of `tests/binlogs/mariadb-10.11.bin`.
pub(super) fn recorded_with_xa() -> Vec<Sample> {
    let mut rest = include_bytes!("../../tests/binlogs/mariadb-10.11.bin")
        .strip_prefix(b"\xfebin")
        .unwrap();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let header = Header::parse(rest.first_chunk::<HEADER_BYTES>().unwrap());
        let (event, after) = rest.split_at(header.size as usize);
        let (body, sum) = event[HEADER_BYTES..].split_last_chunk::<4>().unwrap();
        // The library cuts the algorithm byte off the first event.
        let body = match header.kind {
            kind::FORMAT_DESCRIPTION => &body[..body.len() - 1],
            _ => body,
        };
        events.push(Sample {
            header,
            body: body.to_vec(),
            sum: *sum,
        });
        rest = after;
    }
    events
}

fn columns(columns: &[(&str, &str, Option<&str>)], key: &[&str]) -> TableDefinition {
    TableDefinition {
        charset: None,
        columns: columns
            .iter()
            .map(|(name, column_type, charset)| ColumnDefinition {
                name: (*name).to_owned(),
                column_type: (*column_type).to_owned(),
                charset: charset.map(str::to_owned),
            })
            .collect(),
        primary_key: key.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// What the server's `information_schema` said of the recorded tables.
pub(super) fn definition(id: &TableId) -> Option<TableDefinition> {
    let utf8 = Some("utf8mb4");
    Some(match id.table.as_str() {
        "t" => columns(
            &[
                ("id", "int(11)", None),
                ("v", "varchar(20)", utf8),
                ("g", "int(11)", None),
                ("s", "int(11)", None),
            ],
            &["id"],
        ),
        "types" => columns(
            &[
                ("id", "bigint(20) unsigned", None),
                ("e", r"enum('a\\b','it''s')", utf8),
                ("st", "set('x','y')", utf8),
                ("j", "longtext", utf8),
                ("u", "uuid", None),
                ("i4", "inet4", None),
                ("i6", "inet6", None),
                ("b", "binary(4)", None),
                ("d", "decimal(10,3)", None),
                ("ti", "time(2)", None),
                ("dt", "datetime(6)", None),
                ("ts", "timestamp(3)", None),
                ("y", "year(4)", None),
                ("bi", "bit(9)", None),
                ("g", "point", None),
                ("tx", "mediumtext", Some("gbk")),
                ("db", "double", None),
                ("f", "float", None),
            ],
            &["id"],
        ),
        "m" => columns(&[("a", "int(11)", None)], &[]),
        "ctas" => columns(&[("id", "int(11)", None), ("v", "varchar(20)", utf8)], &[]),
        "made" => columns(&[("a", "int(11)", None)], &["a"]),
        _ => return None,
    })
}

/// The server of the made binlogs.
pub(super) const SERVER: Uuid = Uuid([7; 16]);

/// A binlog made event by event.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) file: String,
    pub(super) pos: u64,
    pub(super) events: Vec<Sample>,
}

impl Made {
    pub(super) fn new(file: &str) -> Self {
        let mut made = Self {
            file: file.to_owned(),
            pos: 4,
            events: Vec::new(),
        };
        made.rotate(file, 4, true);
        made.push(kind::FORMAT_DESCRIPTION, vec![0; 60]);
        made
    }

    pub(super) fn push(&mut self, kind: u8, body: Vec<u8>) -> &mut Self {
        let size = HEADER_BYTES + body.len() + 4;
        self.pos += size as u64;
        self.events.push(Sample {
            header: Header {
                timestamp: 1_700_000_000,
                kind,
                server_id: 1,
                size: u32::try_from(size).unwrap(),
                #[expect(clippy::cast_possible_truncation, reason = "the header has only 32 bits")]
                log_pos: self.pos as u32,
                flags: 1,
            },
            body,
            sum: [0; 4],
        });
        self
    }

    pub(super) fn rotate(&mut self, file: &str, pos: u64, artificial: bool) -> &mut Self {
        let mut body = pos.to_le_bytes().to_vec();
        body.extend_from_slice(file.as_bytes());
        let before = self.pos;
        self.push(kind::ROTATE, body);
        if artificial {
            let last = self.events.last_mut().unwrap();
            last.header.log_pos = 0;
            last.header.flags = 0x20;
            self.pos = before;
        } else {
            self.pos = 4;
            self.file = file.to_owned();
        }
        self
    }

    pub(super) fn heartbeat(&mut self) -> &mut Self {
        let before = self.pos;
        self.push(kind::HEARTBEAT, b"./data/a".to_vec());
        self.pos = before;
        self
    }

    /// With OceanBase's use of the logical clock.
    pub(super) fn gtid(&mut self, gno: u64) -> &mut Self {
        let mut body = vec![1];
        body.extend_from_slice(&SERVER.0);
        body.extend_from_slice(&gno.to_le_bytes());
        body.push(2);
        body.extend_from_slice(&(1_700_000_000 + gno).to_le_bytes());
        body.extend_from_slice(&123_456u64.to_le_bytes());
        self.push(kind::GTID, body)
    }

    pub(super) fn previous(&mut self, last: u64) -> &mut Self {
        let mut body = 1u64.to_le_bytes().to_vec();
        body.extend_from_slice(&SERVER.0);
        body.extend_from_slice(&1u64.to_le_bytes());
        body.extend_from_slice(&1u64.to_le_bytes());
        body.extend_from_slice(&(last + 1).to_le_bytes());
        self.push(kind::PREVIOUS_GTIDS, body)
    }

    pub(super) fn query(&mut self, text: &str) -> &mut Self {
        let mut body = vec![0; 8];
        body.push(4);
        body.extend_from_slice(&[0, 0, 0, 0]);
        body.extend_from_slice(b"shop\0");
        body.extend_from_slice(text.as_bytes());
        self.push(kind::QUERY, body)
    }

    pub(super) fn table_map(&mut self) -> &mut Self {
        let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0];
        body.extend_from_slice(b"\x04shop\0\x04made\0");
        body.extend_from_slice(&[1, 3, 0, 0]);
        self.push(kind::TABLE_MAP, body)
    }

    pub(super) fn insert(&mut self, values: &[i32]) -> &mut Self {
        let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 0xff];
        for value in values {
            body.push(0);
            body.extend_from_slice(&value.to_le_bytes());
        }
        self.push(30, body)
    }

    pub(super) fn commit(&mut self) -> &mut Self {
        self.push(kind::XID, vec![0; 8])
    }

    /// A transaction of one row per value, with OceanBase's table map before every row.
    pub(super) fn transaction(&mut self, gno: u64, values: &[i32]) -> &mut Self {
        self.gtid(gno).query("BEGIN");
        for value in values {
            self.table_map().heartbeat().insert(&[*value]);
        }
        self.heartbeat().commit()
    }
}
