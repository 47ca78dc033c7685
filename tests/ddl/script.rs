//! A seed's interleaving: statements, and what each of them does to rows, to tables, and to the topic.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Value, json};

use super::model::{CHARSETS, Column, ID, Image, NOTE, Row, Table, Type, literal};

/// A row change that has to arrive as one record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) table: String,
    pub(super) op: &'static str,
    /// The row, whatever its columns are called.
    pub(super) row: i64,
    pub(super) before: Option<Image>,
    pub(super) after: Option<Image>,
}

/// What a statement does, apart from changing columns.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// The changes of one statement; the order within it is the server's.
    Changes(Vec<Change>),
    /// Rows that vanish without a trace in the binlog.
    Vanished { table: String, rows: Vec<i64> },
    /// Tables that have other names from here on, all at once.
    Renamed(Vec<(String, String)>),
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) sql: Vec<String>,
    pub(super) effects: Vec<Effect>,
    pub(super) is_ddl: bool,
}

#[derive(Debug)]
pub(super) struct Script {
    pub(super) seed: u64,
    pub(super) steps: Vec<Step>,
    /// The tables at the end.
    pub(super) tables: BTreeMap<String, Table>,
    /// How often each kind of definition change was made.
    pub(super) kinds: BTreeMap<&'static str, u32>,
}

/// What the names of a seed's tables begin with.
pub(super) fn prefix(seed: u64) -> String {
    format!("s{seed}_")
}

/// Makes a script, statement by statement.
pub(super) struct Writer {
    pub(super) rng: Rng,
    seed: u64,
    pub(super) tables: BTreeMap<String, Table>,
    next_row: i64,
    next_identity: u32,
    counter: i64,
    steps: Vec<Step>,
    pub(super) kinds: BTreeMap<&'static str, u32>,
}

impl Script {
    /// The interleaving of a seed, with about so many steps.
    pub(super) fn new(seed: u64, length: usize) -> Script {
        let mut writer = Writer {
            rng: Rng::with_seed(seed),
            seed,
            tables: BTreeMap::new(),
            next_row: 1,
            next_identity: NOTE + 1,
            counter: 1,
            steps: Vec::new(),
            kinds: BTreeMap::new(),
        };
        writer.create();
        writer.dml();
        while writer.steps.len() < length {
            if writer.rng.u8(0..100) < 40 {
                writer.ddl();
            } else {
                writer.dml();
            }
        }
        writer.touch();
        Script {
            seed,
            steps: writer.steps,
            tables: writer.tables,
            kinds: writer.kinds,
        }
    }

    /// All statements, for a person.
    pub(super) fn text(&self) -> String {
        let statements = self.steps.iter().flat_map(|step| &step.sql);
        statements.map(|sql| format!("  {sql};\n")).collect()
    }
}

impl Writer {
    pub(super) fn step(&mut self, is_ddl: bool, sql: Vec<String>, effects: Vec<Effect>) {
        self.steps.push(Step { sql, effects, is_ddl });
    }

    /// A number that no value was made of yet.
    pub(super) fn fresh(&mut self) -> i64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn any_table(&mut self) -> String {
        let at = self.rng.usize(0..self.tables.len());
        self.tables.keys().nth(at).expect("a table").clone()
    }

    pub(super) fn table(&mut self, name: &str) -> &mut Table {
        self.tables.get_mut(name).expect("a table")
    }

    /// A table name that is not taken.
    pub(super) fn free_name(&mut self) -> Option<String> {
        let free: Vec<String> = ('a'..='e')
            .map(|letter| format!("{}{letter}", prefix(self.seed)))
            .filter(|name| !self.tables.contains_key(name))
            .collect();
        self.rng.choice(free)
    }

    /// A column with a name that the table does not have; names come again.
    pub(super) fn new_column(&mut self, taken: &[Column]) -> Column {
        let free: Vec<String> = (1..=12)
            .map(|n| format!("c{n}"))
            .filter(|name| taken.iter().all(|column| column.name != *name))
            .collect();
        let identity = self.next_identity;
        self.next_identity += 1;
        Column {
            identity,
            name: self.rng.choice(free).expect("a name"),
            kind: Type::any(&mut self.rng),
            nullable: self.rng.bool(),
        }
    }

    pub(super) fn new_table(&mut self) -> Table {
        let fixed = |identity, name: &str, kind| Column {
            identity,
            name: name.to_owned(),
            kind,
            nullable: false,
        };
        let mut columns = vec![
            fixed(ID, "id", [Type::Int, Type::Big][self.rng.usize(0..2)].clone()),
            fixed(NOTE, "note", Type::Varchar(20)),
        ];
        for _ in 0..self.rng.usize(1..=4) {
            let column = self.new_column(&columns);
            let at = self.rng.usize(0..=columns.len());
            columns.insert(at, column);
        }
        Table {
            columns,
            key: if self.rng.u8(0..10) == 0 {
                Vec::new()
            } else {
                vec![ID]
            },
            charset: CHARSETS[self.rng.usize(0..CHARSETS.len())],
            rows: BTreeMap::new(),
            partitions: Vec::new(),
        }
    }

    pub(super) fn create(&mut self) {
        let Some(name) = self.free_name() else { return };
        let mut table = self.new_table();
        if self.rng.u8(0..4) == 0 {
            table.partitions = vec![self.next_row + 5, self.next_row + 15];
        }
        let sql = format!("CREATE TABLE {name} {}", table.definition());
        self.tables.insert(name, table);
        self.step(true, vec![sql], Vec::new());
    }

    /// One statement that changes rows, or a transaction of some.
    pub(super) fn dml(&mut self) {
        if self.rng.u8(0..4) > 0 {
            let name = self.any_table();
            if let Some((sql, changes)) = self.statement(&name) {
                self.step(false, vec![sql], vec![Effect::Changes(changes)]);
            }
            return;
        }
        let mut sql = vec!["BEGIN".to_owned()];
        let mut effects = Vec::new();
        for _ in 0..self.rng.usize(2..=4) {
            let name = self.any_table();
            if let Some((text, changes)) = self.statement(&name) {
                sql.push(text);
                effects.push(Effect::Changes(changes));
            }
        }
        sql.push("COMMIT".to_owned());
        self.step(false, sql, effects);
    }

    fn statement(&mut self, name: &str) -> Option<(String, Vec<Change>)> {
        let rows: Vec<i64> = self.tables[name].rows.keys().copied().collect();
        match self.rng.u8(0..10) {
            0..=3 => self.insert(name),
            _ if rows.is_empty() => self.insert(name),
            4..=6 => {
                let row = rows[self.rng.usize(0..rows.len())];
                Some(self.update(name, &[row]))
            }
            7 | 8 => {
                let from = self.rng.usize(0..rows.len());
                let to = self.rng.usize(from..rows.len()).min(from + 3);
                Some(self.update(name, &rows[from..=to]))
            }
            _ => {
                let row = rows[self.rng.usize(0..rows.len())];
                let table = self.table(name);
                let sql = format!("DELETE FROM {name} WHERE {} = {row}", table.name_of(ID));
                let gone = table.rows.remove(&row).expect("a row");
                let change = Change {
                    table: name.to_owned(),
                    op: "d",
                    row,
                    before: Some(table.image(&gone)),
                    after: None,
                };
                Some((sql, vec![change]))
            }
        }
    }

    /// One to three rows; none where the last partition is full.
    fn insert(&mut self, name: &str) -> Option<(String, Vec<Change>)> {
        let mut changes = Vec::new();
        let mut values = Vec::new();
        let table = self.tables[name].clone();
        for _ in 0..self.rng.usize(1..=3) {
            let id = self.next_row;
            if table.partitions.last().is_some_and(|bound| id >= *bound) {
                break;
            }
            self.next_row += 1;
            let row: Row = table
                .columns
                .iter()
                .map(|column| (column.identity, self.cell(column, id)))
                .collect();
            let cells: Vec<String> = table
                .columns
                .iter()
                .map(|column| literal(&row[&column.identity]))
                .collect();
            values.push(format!("({})", cells.join(", ")));
            changes.push(Change {
                table: name.to_owned(),
                op: "c",
                row: id,
                before: None,
                after: Some(table.image(&row)),
            });
            self.table(name).rows.insert(id, row);
        }
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let sql = format!(
            "INSERT INTO {name} ({}) VALUES {}",
            names.join(", "),
            values.join(", ")
        );
        (!values.is_empty()).then_some((sql, changes))
    }

    fn cell(&mut self, column: &Column, id: i64) -> Value {
        if column.identity == ID {
            return json!(id);
        }
        if column.nullable && self.rng.u8(0..5) == 0 {
            return Value::Null;
        }
        let n = self.fresh();
        column.value(n)
    }

    /// Gives some columns of some rows new values, the same in all rows.
    fn update(&mut self, name: &str, ids: &[i64]) -> (String, Vec<Change>) {
        let columns = self.tables[name].columns.clone();
        let mut new = Row::new();
        for _ in 0..self.rng.usize(1..=3) {
            let column = &columns[self.rng.usize(0..columns.len())];
            if column.identity != ID {
                new.insert(column.identity, self.cell(column, 0));
            }
        }
        if new.is_empty() {
            let note = self.tables[name].column(NOTE).clone();
            new.insert(NOTE, self.cell(&note, 0));
        }
        self.set(name, ids, &new)
    }

    fn set(&mut self, name: &str, ids: &[i64], new: &Row) -> (String, Vec<Change>) {
        let table = self.table(name);
        let assignments: Vec<String> = new
            .iter()
            .map(|(identity, value)| format!("{} = {}", table.name_of(*identity), literal(value)))
            .collect();
        let list: Vec<String> = ids.iter().map(i64::to_string).collect();
        let sql = format!(
            "UPDATE {name} SET {} WHERE {} IN ({})",
            assignments.join(", "),
            table.name_of(ID),
            list.join(", ")
        );
        let mut changes = Vec::new();
        for id in ids {
            let old = table.rows[id].clone();
            let mut row = old.clone();
            row.extend(new.clone());
            // A row that stays the same is not logged.
            if row != old {
                changes.push(Change {
                    table: name.to_owned(),
                    op: "u",
                    row: *id,
                    before: Some(table.image(&old)),
                    after: Some(table.image(&row)),
                });
            }
            table.rows.insert(*id, row);
        }
        (sql, changes)
    }

    /// Changes every row once more: what definition changes did to rows in silence shows in the topic too.
    fn touch(&mut self) {
        for name in self.tables.keys().cloned().collect::<Vec<_>>() {
            let ids: Vec<i64> = self.tables[&name].rows.keys().copied().collect();
            if ids.is_empty() {
                continue;
            }
            let note = self.tables[&name].column(NOTE).clone();
            let n = self.fresh();
            let (sql, changes) = self.set(&name, &ids, &Row::from([(NOTE, note.value(n))]));
            self.step(false, vec![sql], vec![Effect::Changes(changes)]);
        }
    }
}
