//! The captured tables as they are declared now, one after the other: for whoever compares them with something
//! else before the first row, or describes them.

use mysql_async::Conn;

use crate::change::{ColumnKind, TableId};
use crate::config::DatabaseConfig;
use crate::retry::Failure;
use crate::source::connection;
use crate::source::preflight;
use crate::source::schema::{TableDefinition, column_type, load};

/// A table as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredTable {
    /// Which table.
    pub id: TableId,
    /// Its columns in order.
    pub columns: Vec<(String, ColumnKind)>,
    /// Indexes into `columns` of the primary key, in key order; empty where there is none.
    pub primary_key: Vec<usize>,
}

impl DeclaredTable {
    /// `None` if a type in it cannot be read: the examination of the server has a finding for that.
    fn of(id: TableId, definition: &TableDefinition) -> Option<Self> {
        let mut columns = Vec::with_capacity(definition.columns.len());
        for column in &definition.columns {
            let declared = column_type::parse(&column.column_type, column.charset.as_deref()).ok()?;
            columns.push((column.name.clone(), declared.kind));
        }
        let place = |name: &String| columns.iter().position(|(column, _)| column == name);
        let primary_key = definition.primary_key.iter().filter_map(place).collect();
        Some(Self {
            id,
            columns,
            primary_key,
        })
    }

    /// The columns by reference, as the encoder takes them.
    pub fn kinds(&self) -> Vec<(&str, &ColumnKind)> {
        self.columns
            .iter()
            .map(|(name, kind)| (name.as_str(), kind))
            .collect()
    }
}

/// Shows `each` every captured table, by database and name. One at a time: their number has no bound.
///
/// # Errors
/// What the network or the server refused.
pub async fn for_each(config: &DatabaseConfig, mut each: impl FnMut(DeclaredTable)) -> Result<(), Failure> {
    let mut conn = load::connect(config).await?;
    let result = ask(&mut conn, config, &mut each).await;
    connection::close(conn).await;
    result
}

async fn ask(
    conn: &mut Conn,
    config: &DatabaseConfig,
    each: &mut impl FnMut(DeclaredTable),
) -> Result<(), Failure> {
    let mut tables = preflight::captured_tables(conn, config).await?;
    tables.sort();
    for id in tables {
        // One that went meanwhile needs no word.
        if let (Some(definition), _) = load::load(conn, &id, config.connect_timeout).await?
            && let Some(table) = DeclaredTable::of(id, &definition)
        {
            each(table);
        }
    }
    Ok(())
}
