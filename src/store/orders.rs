//! What a command asks of the collector that runs beside it: a file with the order, and a file with the answer.
//!
//! The health port only shows; whoever may change something has to be able to write to `DATA_DIR`, as the collector
//! does. An order is there as a whole or not at all, is answered once, and is withdrawn if nobody answers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::document::{Defect, Form};
use crate::change::TableId;

const ORDER: Form = Form {
    magic: "cdc-collector order",
    format: 1,
};
const ANSWER: Form = Form {
    magic: "cdc-collector answer",
    format: 1,
};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "order")]
pub enum Order {
    /// Read the rows of a parked table.
    ResumeTable {
        /// Which.
        table: TableId,
        /// The CREATE TABLE statement that its rows fit, where the server has no such table any more.
        statement: Option<String>,
    },
    /// Never read the rows of a parked table that were passed over.
    SkipTable {
        /// Which.
        table: TableId,
        /// Why, for the audit.
        reason: String,
    },
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it is done.
    pub done: bool,
    /// What is done, or why nothing is.
    pub sentence: String,
}

/// The directory of one group's orders.
#[derive(Clone, Debug)]
pub struct Orders {
    dir: PathBuf,
}

fn broken(defect: Defect) -> io::Error {
    match defect {
        Defect::Unreadable(error) => error,
        Defect::Newer(format) => io::Error::other(format!("it has format {format}, of another version")),
        Defect::Damaged(what) => io::Error::other(what),
    }
}

impl Orders {
    pub(super) fn of(data_dir: &Path, name: &str) -> Self {
        Self {
            dir: data_dir.join(format!("{name}.orders")),
        }
    }

    fn path(&self, id: &str, ending: &str) -> PathBuf {
        self.dir.join(format!("{id}.{ending}"))
    }

    /// Leaves an order; `id` names it and has to be new.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn place(&self, id: &str, order: &Order) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        ORDER.write(&self.dir, &self.path(id, "order"), order)
    }

    /// The oldest order that nobody has answered, by name.
    ///
    /// # Errors
    /// It cannot be read; it is then out of the way.
    pub fn next(&self) -> io::Result<Option<(String, Order)>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".order")) {
                ids.push(id.to_owned());
            }
        }
        let Some(id) = ids.into_iter().min() else {
            return Ok(None);
        };
        match ORDER.read(&self.path(&id, "order")) {
            Ok(order) => Ok(order.map(|order| (id, order))),
            Err(defect) => {
                self.withdraw(&id)?;
                Err(broken(defect))
            }
        }
    }

    /// Whether the order still stands.
    pub fn is_open(&self, id: &str) -> bool {
        self.path(id, "order").exists()
    }

    /// Answers an order, and takes it away.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn answer(&self, id: &str, answer: &Answer) -> io::Result<()> {
        ANSWER.write(&self.dir, &self.path(id, "answer"), answer)?;
        self.withdraw(id)
    }

    /// Takes the answer to an order, if there is one by now.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn answered(&self, id: &str) -> io::Result<Option<Answer>> {
        let path = self.path(id, "answer");
        let answer = ANSWER.read(&path).map_err(broken)?;
        if answer.is_some() {
            fs::remove_file(&path)?;
        }
        Ok(answer)
    }

    /// Takes an order away.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn withdraw(&self, id: &str) -> io::Result<()> {
        match fs::remove_file(self.path(id, "order")) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
