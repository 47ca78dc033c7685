//! Random changes of definitions: what they are in SQL, and what they make of the model.

use serde_json::Value;

use super::model::{CHARSETS, Column, ID, NOTE, Table, Type, literal, partition};
use super::script::{Change, Effect, Writer};

/// Statements, and what they do.
type Made = Option<(Vec<String>, Vec<Effect>)>;

/// Statements without an effect on rows.
fn only(sql: String) -> Made {
    Some((vec![sql], Vec::new()))
}

/// One kind of change of the table with this name.
type Alteration = fn(&mut Writer, &str) -> Made;

const ALTERATIONS: [(&str, Alteration); 19] = [
    ("add column", Writer::add_column),
    ("add column", Writer::add_column),
    ("drop column", Writer::drop_column),
    ("replace column", Writer::replace_column),
    ("modify type", Writer::modify_type),
    ("modify type", Writer::modify_type),
    ("rename column", Writer::rename_column),
    ("swap columns", Writer::swap_columns),
    ("reorder columns", Writer::reorder),
    ("reorder columns", Writer::reorder),
    ("charset", Writer::convert),
    ("primary key", Writer::change_key),
    ("rename table", Writer::rename_table),
    ("swap tables", Writer::swap_tables),
    ("create like", Writer::create_like),
    ("create select", Writer::create_select),
    ("truncate", Writer::truncate),
    ("recreate", Writer::recreate),
    ("partitions", Writer::change_partitions),
];

impl Writer {
    pub(super) fn ddl(&mut self) {
        let (kind, alteration) = ALTERATIONS[self.rng.usize(0..ALTERATIONS.len())];
        let name = self.any_table();
        if let Some((sql, effects)) = alteration(self, &name) {
            *self.kinds.entry(kind).or_default() += 1;
            self.step(true, sql, effects);
        }
    }

    /// `, ALGORITHM=INSTANT` now and then; whoever runs the statement leaves it out where the server refuses it.
    fn instantly(&mut self) -> &'static str {
        ["", "", ", ALGORITHM=INSTANT"][self.rng.usize(0..3)]
    }

    /// Columns that may be dropped or swapped: not the ones that every table has, not the key's.
    fn loose(&self, name: &str) -> Vec<u32> {
        let table = &self.tables[name];
        let columns = table.columns.iter().map(|column| column.identity);
        columns
            .filter(|identity| !matches!(*identity, ID | NOTE) && !table.key.contains(identity))
            .collect()
    }

    /// Columns whose definition may change: the one that partitions are made by stays as it is.
    fn changeable(&self, name: &str) -> Vec<u32> {
        let table = &self.tables[name];
        let columns = table.columns.iter().map(|column| column.identity);
        columns
            .filter(|identity| table.partitions.is_empty() || *identity != ID)
            .collect()
    }

    fn place(&mut self, name: &str, without: Option<u32>) -> (usize, String) {
        let others: Vec<String> = self.tables[name]
            .columns
            .iter()
            .filter(|column| Some(column.identity) != without)
            .map(|column| column.name.clone())
            .collect();
        match self.rng.usize(0..=others.len()) {
            0 => (0, " FIRST".to_owned()),
            at => (at, format!(" AFTER {}", others[at - 1])),
        }
    }

    /// Puts the column in, with what its rows hold from then on; returns `ADD COLUMN …`.
    fn put(&mut self, name: &str, mut column: Column) -> String {
        let (at, place) = self.place(name, None);
        // Neither server takes a plain default for a TEXT.
        column.nullable |= column.kind == Type::Text;
        let (filled, default) = if column.nullable {
            (Value::Null, String::new())
        } else {
            let n = self.fresh();
            let value = column.value(n);
            let text = format!(" DEFAULT {}", literal(&value));
            (value, text)
        };
        let sql = format!(
            "ADD COLUMN {} {}{default}{place}",
            column.name,
            column.declaration()
        );
        let table = self.table(name);
        for row in table.rows.values_mut() {
            row.insert(column.identity, filled.clone());
        }
        table.columns.insert(at, column);
        sql
    }

    fn take(&mut self, name: &str, identity: u32) -> Column {
        let table = self.table(name);
        for row in table.rows.values_mut() {
            row.remove(&identity);
        }
        let at = table
            .columns
            .iter()
            .position(|column| column.identity == identity);
        table.columns.remove(at.expect("a column"))
    }

    fn add_column(&mut self, name: &str) -> Made {
        if self.tables[name].columns.len() > 9 {
            return None;
        }
        let taken = self.tables[name].columns.clone();
        let column = self.new_column(&taken);
        let add = self.put(name, column);
        only(format!("ALTER TABLE {name} {add}{}", self.instantly()))
    }

    fn drop_column(&mut self, name: &str) -> Made {
        let identity = self.rng.choice(self.loose(name))?;
        let gone = self.take(name, identity);
        only(format!(
            "ALTER TABLE {name} DROP COLUMN {}{}",
            gone.name,
            self.instantly()
        ))
    }

    /// Another column takes over the name.
    fn replace_column(&mut self, name: &str) -> Made {
        let identity = self.rng.choice(self.loose(name))?;
        let gone = self.take(name, identity);
        let taken = self.tables[name].columns.clone();
        let column = Column {
            name: gone.name.clone(),
            ..self.new_column(&taken)
        };
        let add = self.put(name, column);
        only(format!("ALTER TABLE {name} DROP COLUMN {}, {add}", gone.name))
    }

    fn modify_type(&mut self, name: &str) -> Made {
        let identity = self.rng.choice(self.changeable(name))?;
        let column = self.tables[name].column(identity).clone();
        let kind = match identity {
            ID if column.kind == Type::Int => Type::Big,
            ID => return None,
            _ => column.kind.wider(&mut self.rng)?,
        };
        let in_key = self.tables[name].key.contains(&identity);
        if in_key && !kind.is_integer() {
            return None;
        }
        let to_text = column.kind.is_integer() && !kind.is_integer();
        let table = self.table(name);
        let found = table
            .columns
            .iter_mut()
            .find(|column| column.identity == identity);
        let column = found.expect("a column");
        column.kind = kind;
        let sql = format!(
            "ALTER TABLE {name} MODIFY COLUMN {} {}",
            column.name,
            column.declaration()
        );
        for row in table.rows.values_mut() {
            let value = row.get_mut(&identity).expect("a value");
            if to_text && !value.is_null() {
                *value = Value::String(value.to_string());
            }
        }
        only(sql)
    }

    fn rename_column(&mut self, name: &str) -> Made {
        let identity = self.rng.choice(self.changeable(name))?;
        let taken = self.tables[name].columns.clone();
        let new = self.new_column(&taken).name;
        let changed = self.rng.bool();
        let table = self.table(name);
        let found = table
            .columns
            .iter_mut()
            .find(|column| column.identity == identity);
        let column = found.expect("a column");
        let old = std::mem::replace(&mut column.name, new.clone());
        only(if changed {
            format!("ALTER TABLE {name} CHANGE {old} {new} {}", column.declaration())
        } else {
            format!("ALTER TABLE {name} RENAME COLUMN {old} TO {new}")
        })
    }

    /// Two columns take each other's names; of the same type, nothing of it shows in a table map.
    fn swap_columns(&mut self, name: &str) -> Made {
        let identities = self.loose(name);
        let first = self.rng.choice(identities.iter().copied())?;
        let kind = self.tables[name].column(first).kind.clone();
        let mut others: Vec<u32> = identities.into_iter().filter(|other| *other != first).collect();
        if others
            .iter()
            .any(|other| self.tables[name].column(*other).kind == kind)
        {
            others.retain(|other| self.tables[name].column(*other).kind == kind);
        }
        let second = self.rng.choice(others)?;
        let changed = self.rng.bool();
        let table = self.table(name);
        let (a, b) = (table.name_of(first).to_owned(), table.name_of(second).to_owned());
        for column in &mut table.columns {
            if column.identity == first {
                column.name.clone_from(&b);
            } else if column.identity == second {
                column.name.clone_from(&a);
            }
        }
        only(if changed {
            let (one, two) = (table.column(first), table.column(second));
            format!(
                "ALTER TABLE {name} CHANGE {a} {b} {}, CHANGE {b} {a} {}",
                one.declaration(),
                two.declaration()
            )
        } else {
            format!("ALTER TABLE {name} RENAME COLUMN {a} TO {b}, RENAME COLUMN {b} TO {a}")
        })
    }

    fn reorder(&mut self, name: &str) -> Made {
        let identity = self.rng.choice(self.changeable(name))?;
        let (at, place) = self.place(name, Some(identity));
        let table = self.table(name);
        let from = table
            .columns
            .iter()
            .position(|column| column.identity == identity);
        let column = table.columns.remove(from.expect("a column"));
        let sql = format!(
            "ALTER TABLE {name} MODIFY COLUMN {} {}{place}",
            column.name,
            column.declaration()
        );
        table.columns.insert(at, column);
        only(sql)
    }

    fn convert(&mut self, name: &str) -> Made {
        let charset = CHARSETS[self.rng.usize(0..CHARSETS.len())];
        self.table(name).charset = charset;
        only(format!("ALTER TABLE {name} CONVERT TO CHARACTER SET {charset}"))
    }

    /// The key is the row's number, with an integer column before or behind it, or not there at all.
    fn change_key(&mut self, name: &str) -> Made {
        let table = &self.tables[name];
        let suitable =
            |column: &&Column| column.kind.is_integer() && !column.nullable && column.identity != ID;
        let second = table.columns.iter().find(suitable).map(|column| column.identity);
        let mut keys = vec![vec![], vec![ID]];
        keys.extend(second.map(|second| vec![ID, second]));
        keys.extend(second.map(|second| vec![second, ID]));
        keys.retain(|key| *key != table.key);
        let had = !table.key.is_empty();
        let key = self.rng.choice(keys)?;
        let table = self.table(name);
        table.key = key;
        let drop = had.then(|| "DROP PRIMARY KEY".to_owned());
        let add = table.key_clause().map(|clause| format!("ADD {clause}"));
        let parts: Vec<String> = drop.into_iter().chain(add).collect();
        only(format!("ALTER TABLE {name} {}", parts.join(", ")))
    }

    fn rename_table(&mut self, name: &str) -> Made {
        let new = self.free_name()?;
        let table = self.tables.remove(name).expect("a table");
        self.tables.insert(new.clone(), table);
        let sql = if self.rng.bool() {
            format!("RENAME TABLE {name} TO {new}")
        } else {
            format!("ALTER TABLE {name} RENAME TO {new}")
        };
        Some((vec![sql], vec![Effect::Renamed(vec![(name.to_owned(), new)])]))
    }

    fn swap_tables(&mut self, name: &str) -> Made {
        let others: Vec<String> = self
            .tables
            .keys()
            .filter(|other| *other != name)
            .cloned()
            .collect();
        let other = self.rng.choice(others)?;
        let between = self.free_name()?;
        let (one, two) = (self.tables.remove(name)?, self.tables.remove(&other)?);
        self.tables.insert(name.to_owned(), two);
        self.tables.insert(other.clone(), one);
        let sql = format!("RENAME TABLE {name} TO {between}, {other} TO {name}, {between} TO {other}");
        let pairs = vec![(name.to_owned(), other.clone()), (other, name.to_owned())];
        Some((vec![sql], vec![Effect::Renamed(pairs)]))
    }

    fn create_like(&mut self, name: &str) -> Made {
        let new = self.free_name()?;
        let mut table = self.tables[name].clone();
        table.rows.clear();
        self.tables.insert(new.clone(), table);
        only(format!("CREATE TABLE {new} LIKE {name}"))
    }

    fn create_select(&mut self, name: &str) -> Made {
        let new = self.free_name()?;
        let table = Table {
            partitions: Vec::new(),
            ..self.tables[name].clone()
        };
        let key = table
            .key_clause()
            .map(|clause| format!("({clause}) "))
            .unwrap_or_default();
        let sql = format!("CREATE TABLE {new} {key}SELECT * FROM {name}");
        let rows = table.rows.iter();
        let changes = rows
            .map(|(id, row)| Change {
                table: new.clone(),
                op: "c",
                row: *id,
                before: None,
                after: Some(table.image(row)),
            })
            .collect();
        self.tables.insert(new, table);
        Some((vec![sql], vec![Effect::Changes(changes)]))
    }

    fn emptied(&mut self, name: &str) -> Effect {
        let table = self.table(name);
        Effect::Vanished {
            table: name.to_owned(),
            rows: std::mem::take(&mut table.rows).into_keys().collect(),
        }
    }

    fn truncate(&mut self, name: &str) -> Made {
        let emptied = self.emptied(name);
        Some((vec![format!("TRUNCATE TABLE {name}")], vec![emptied]))
    }

    /// The table comes back in another shape, or not at all.
    fn recreate(&mut self, name: &str) -> Made {
        let emptied = self.emptied(name);
        let mut sql = vec![format!("DROP TABLE {name}")];
        self.tables.remove(name);
        if self.tables.is_empty() || self.rng.bool() {
            let table = self.new_table();
            sql.push(format!("CREATE TABLE {name} {}", table.definition()));
            self.tables.insert(name.to_owned(), table);
        }
        Some((sql, vec![emptied]))
    }

    fn change_partitions(&mut self, name: &str) -> Made {
        let highest = self.tables[name].rows.keys().last().copied().unwrap_or_default();
        let choice = self.rng.u8(0..6);
        let table = self.table(name);
        let Some((&first, &last)) = table.partitions.first().zip(table.partitions.last()) else {
            table.partitions = vec![highest + 3, highest + 20];
            return only(format!("ALTER TABLE {name}{}", table.partition_clause()));
        };
        let several = table.partitions.len() > 1;
        match choice {
            0 | 1 => {
                table.partitions.push(last + 15);
                only(format!(
                    "ALTER TABLE {name} ADD PARTITION ({})",
                    partition(last + 15)
                ))
            }
            2 if several => {
                table.partitions.remove(0);
                let gone = self.in_partition(name, first);
                Some((
                    vec![format!("ALTER TABLE {name} DROP PARTITION p{first}")],
                    vec![gone],
                ))
            }
            3 => {
                let gone = self.in_partition(name, first);
                Some((
                    vec![format!("ALTER TABLE {name} TRUNCATE PARTITION p{first}")],
                    vec![gone],
                ))
            }
            4 if several => {
                let second = table.partitions[1];
                table.partitions.remove(0);
                only(format!(
                    "ALTER TABLE {name} REORGANIZE PARTITION p{first}, p{second} INTO ({})",
                    partition(second)
                ))
            }
            _ => {
                table.partitions.clear();
                only(format!("ALTER TABLE {name} REMOVE PARTITIONING"))
            }
        }
    }

    /// Takes out the rows below the first partition's bound.
    fn in_partition(&mut self, name: &str, bound: i64) -> Effect {
        let table = self.table(name);
        let stay = table.rows.split_off(&bound);
        let gone = std::mem::replace(&mut table.rows, stay);
        Effect::Vanished {
            table: name.to_owned(),
            rows: gone.into_keys().collect(),
        }
    }
}
