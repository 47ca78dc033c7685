//! What arrived: the topic's records in binlog order, and whether they are what a script says.

use std::collections::BTreeMap;

use datahub_emulator::Emulator;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use serde_json::Value;

use super::model::{Image, Table};
use super::script::{Change, Effect, Script, prefix};

/// Where in the binlog a row stands: file, offset of its event, ordinal in its transaction.
type Place = (String, u64, u64);

/// A record, as a consumer reads it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) table: String,
    pub(super) op: String,
    pub(super) before: Option<Image>,
    pub(super) after: Option<Image>,
    /// As it came: the order of columns is visible only here.
    pub(super) text: String,
}

fn image(envelope: &Value, name: &str) -> Option<Image> {
    envelope[name].as_object().cloned()
}

/// Every row change of a topic once, in binlog order.
///
/// # Panics
/// If one place has two ids, if a record comes again as something else, or if a shard is out of order.
pub(super) fn read(emulator: &Emulator, project: &str, topic: &str) -> BTreeMap<Place, Seen> {
    let mut ids: BTreeMap<String, Place> = BTreeMap::new();
    let mut seen: BTreeMap<Place, Seen> = BTreeMap::new();
    let mut newest: BTreeMap<u32, Place> = BTreeMap::new();
    for record in emulator.records(project, topic).expect("the topic") {
        let text = String::from_utf8(record.blob().expect("a blob").to_vec()).expect("UTF-8");
        let envelope: Value = serde_json::from_str(&text).expect("JSON");
        let source = &envelope["source"];
        let number = |name: &str| source[name].as_u64().expect("a number");
        let file = source["file"].as_str().expect("a file").to_owned();
        let place = (file, number("pos"), number("row"));
        let id = record.attribute("cdc.id").expect("an id").to_owned();
        let one = Seen {
            table: source["table"].as_str().expect("a table").to_owned(),
            op: envelope["op"].as_str().expect("an op").to_owned(),
            before: image(&envelope, "before"),
            after: image(&envelope, "after"),
            text,
        };
        if let Some(known) = ids.get(&id) {
            assert_eq!(*known, place, "the id {id} stands for two changes");
            let first = &seen[&place];
            let same = (&first.table, &first.op, &first.before, &first.after)
                == (&one.table, &one.op, &one.before, &one.after);
            assert!(
                same,
                "{id} came again as something else:\n{}\n{}",
                first.text, one.text
            );
            continue;
        }
        if let Some(last) = newest.get(&record.shard) {
            assert!(
                *last < place,
                "shard {}: {place:?} came behind {last:?}",
                record.shard
            );
        }
        newest.insert(record.shard, place.clone());
        ids.insert(id, place.clone());
        let other = seen.insert(place, one);
        assert!(other.is_none(), "one change has two ids: {other:?}");
    }
    seen
}

fn sorted(images: &[(String, String, Option<Image>, Option<Image>)]) -> Vec<String> {
    let mut texts: Vec<String> = images.iter().map(|image| format!("{image:?}")).collect();
    texts.sort();
    texts
}

fn show(table: &str, op: &str, before: Option<&Image>, after: Option<&Image>) -> String {
    let text = |image: Option<&Image>| {
        image.map_or("null".to_owned(), |image| {
            Value::Object(image.clone()).to_string()
        })
    };
    format!("{op} {table} {} -> {}", text(before), text(after))
}

impl Script {
    /// Holds the script's records, in binlog order, against what its statements did; gives the rows that a consumer
    /// has at the end. The error says where they part.
    pub(super) fn compare(
        &self,
        seen: &BTreeMap<Place, Seen>,
    ) -> Result<BTreeMap<String, BTreeMap<i64, Image>>, String> {
        let own = prefix(self.seed);
        let mut arrived = seen.iter().filter(|(_, seen)| seen.table.starts_with(&own));
        let mut replayed: BTreeMap<String, BTreeMap<i64, Image>> = BTreeMap::new();
        for (number, step) in self.steps.iter().enumerate() {
            for effect in &step.effects {
                match effect {
                    Effect::Vanished { table, rows } => {
                        let table = replayed.entry(table.clone()).or_default();
                        table.retain(|row, _| !rows.contains(row));
                    }
                    Effect::Renamed(pairs) => {
                        let moved: Vec<_> = pairs
                            .iter()
                            .map(|(from, to)| (to.clone(), replayed.remove(from).unwrap_or_default()))
                            .collect();
                        replayed.extend(moved);
                    }
                    Effect::Changes(changes) => {
                        let records: Vec<_> = arrived.by_ref().take(changes.len()).collect();
                        let of_record: Vec<_> = records
                            .iter()
                            .map(|(_, r)| (r.table.clone(), r.op.clone(), r.before.clone(), r.after.clone()))
                            .collect();
                        let of_change: Vec<_> = changes
                            .iter()
                            .map(|c| {
                                (
                                    c.table.clone(),
                                    c.op.to_owned(),
                                    c.before.clone(),
                                    c.after.clone(),
                                )
                            })
                            .collect();
                        if sorted(&of_record) != sorted(&of_change) {
                            let committed: Vec<String> = changes
                                .iter()
                                .map(|c| show(&c.table, c.op, c.before.as_ref(), c.after.as_ref()))
                                .collect();
                            let shown: Vec<String> = records
                                .iter()
                                .map(|(place, r)| {
                                    format!(
                                        "{} at {place:?}",
                                        show(&r.table, &r.op, r.before.as_ref(), r.after.as_ref())
                                    )
                                })
                                .collect();
                            return Err(format!(
                                "step {number}, {:?}\ncommitted: {}\nrecords:   {}",
                                step.sql,
                                committed.join("\n           "),
                                shown.join("\n           ")
                            ));
                        }
                        for change in changes {
                            replay(&mut replayed, change, &records);
                        }
                    }
                }
            }
        }
        match arrived.next() {
            Some((place, record)) => Err(format!("a record of nothing at {place:?}: {}", record.text)),
            None => Ok(replayed),
        }
    }
}

/// Takes over the record's own image, not the model's.
fn replay(
    replayed: &mut BTreeMap<String, BTreeMap<i64, Image>>,
    change: &Change,
    records: &[(&Place, &Seen)],
) {
    let record = records
        .iter()
        .map(|(_, record)| record)
        .find(|r| r.table == change.table && r.before == change.before && r.after == change.after)
        .expect("just compared");
    let rows = replayed.entry(record.table.clone()).or_default();
    match &record.after {
        Some(after) => rows.insert(change.row, after.clone()),
        None => rows.remove(&change.row),
    };
}

/// A table's rows as a plain `SELECT` gives them, in the topic's form.
async fn select(conn: &mut Conn, name: &str, table: &Table) -> Vec<Image> {
    let rows: Vec<Row> = conn
        .query(format!("SELECT * FROM test.{name}"))
        .await
        .expect("the rows");
    rows.into_iter()
        .map(|row| {
            let names: Vec<String> = row
                .columns_ref()
                .iter()
                .map(|column| column.name_str().into_owned())
                .collect();
            // The text protocol sends every value as text.
            let values = row.unwrap().into_iter().map(|value| {
                mysql_async::from_value::<Option<String>>(value).map_or(Value::Null, Value::String)
            });
            names
                .into_iter()
                .zip(values)
                .map(|(name, value)| {
                    let column = table
                        .columns
                        .iter()
                        .find(|column| column.name == name)
                        .expect("a known column");
                    let number = value.as_str().filter(|_| column.kind.is_integer());
                    let number = number.map(|text| text.parse::<i64>().expect("a number"));
                    (name, number.map_or(value, Value::from))
                })
                .collect()
        })
        .collect()
}

fn texts<'a>(images: impl Iterator<Item = &'a Image>) -> Vec<String> {
    let mut texts: Vec<String> = images
        .map(|image| Value::Object(image.clone()).to_string())
        .collect();
    texts.sort();
    texts
}

/// Holds everything that one script led to against the records; `None` if all is well.
pub(super) async fn judge(script: &Script, seen: &BTreeMap<Place, Seen>, conn: &mut Conn) -> Option<String> {
    let replayed = match script.compare(seen) {
        Ok(replayed) => replayed,
        Err(difference) => return Some(difference),
    };
    conn.query_drop("SET NAMES utf8mb4")
        .await
        .expect("a character set");
    for (name, table) in &script.tables {
        let selected = select(conn, name, table).await;
        let believed: Vec<Image> = table.rows.values().map(|row| table.image(row)).collect();
        let (selected, believed) = (texts(selected.iter()), texts(believed.iter()));
        if selected != believed {
            return Some(format!(
                "the model is wrong about {name}:\nSELECT: {selected:#?}\nmodel:  {believed:#?}"
            ));
        }
        let replayed = texts(replayed.get(name).into_iter().flat_map(BTreeMap::values));
        if replayed != selected {
            return Some(format!(
                "{name} differs:\nSELECT: {selected:#?}\ntopic:  {replayed:#?}"
            ));
        }
    }
    None
}
