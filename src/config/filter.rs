//! Which tables are captured: `DATABASE_SCHEMA` and `DATABASE_TABLES`. Pure.

/// The tables to relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFilter {}

impl TableFilter {
    /// Parses `DATABASE_SCHEMA` and `DATABASE_TABLES`.
    ///
    /// # Errors
    /// One sentence per pattern that cannot be read.
    pub fn parse(schemas: &str, tables: &str) -> Result<Self, Vec<String>> {
        let _ = (schemas, tables);
        Ok(Self {})
    }

    /// Whether rows of this table are relayed.
    pub fn captures(&self, db: &str, table: &str) -> bool {
        let _ = (db, table);
        true
    }

    /// Whether any table of this database can be captured.
    pub fn touches(&self, db: &str) -> bool {
        let _ = db;
        true
    }
}
