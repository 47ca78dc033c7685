//! All that the service knows: projects, topics, and the rules for their names.

use std::collections::BTreeMap;

use crate::refusal::Refusal;
use crate::topic::Topic;

#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) comment: String,
    pub(crate) created_s: u64,
    pub(crate) modified_s: u64,
    pub(crate) topics: BTreeMap<String, Topic>,
}

impl Project {
    pub(crate) fn new(comment: &str, now_s: u64) -> Project {
        Project {
            comment: comment.to_owned(),
            created_s: now_s,
            modified_s: now_s,
            topics: BTreeMap::new(),
        }
    }
}

/// Projects by lower-case name.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) projects: BTreeMap<String, Project>,
    /// Bytes of payload kept.
    pub(crate) stored_bytes: u64,
    /// Records ever stored; never goes down.
    pub(crate) stored_records: u64,
    /// Whether names with `-` are refused.
    pub(crate) strict_names: bool,
}

impl World {
    pub(crate) fn project(&mut self, name: &str) -> Result<&mut Project, Refusal> {
        self.projects.get_mut(&name.to_lowercase()).ok_or_else(|| {
            Refusal::new(
                "NoSuchProject",
                format!("The specified project does not exist: {name}"),
            )
        })
    }

    pub(crate) fn topic(&mut self, project: &str, topic: &str) -> Result<&mut Topic, Refusal> {
        let missing = || Refusal::new("NoSuchTopic", "The specified topic does not exist.");
        check_name(Named::Topic, topic, self.strict_names)?;
        self.project(project)?
            .topics
            .get_mut(&topic.to_lowercase())
            .ok_or_else(missing)
    }
}

/// What is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Project,
    Topic,
}

/// Letter first, then letters, digits and `_`; with `strict` off also `-`, which the live service refuses.
pub(crate) fn check_name(named: Named, name: &str, strict: bool) -> Result<(), Refusal> {
    let (what, lengths) = match named {
        Named::Project => ("Project", 3..=32),
        Named::Topic => ("Topic", 1..=128),
    };
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || (c == '-' && !strict);
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if starts && name.chars().all(fine) && lengths.contains(&name.len()) {
        return Ok(());
    }
    Err(Refusal::parameter(format!(
        "{what} name is missing or invalid:{name} ({} to {} characters, a letter first, then letters, digits and _)",
        lengths.start(),
        lengths.end()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_dash_are_a_matter_of_strictness() {
        assert!(check_name(Named::Project, "realtime-pipeline", false).is_ok());
        let refusal = check_name(Named::Project, "realtime-pipeline", true).unwrap_err();
        assert_eq!(refusal.code, "InvalidParameter");
        assert!(
            refusal
                .message
                .starts_with("Project name is missing or invalid:realtime-pipeline")
        );
        for bad in ["a", "ab", "1abc", "a b c", "", &"a".repeat(33)] {
            assert!(check_name(Named::Project, bad, false).is_err(), "{bad}");
        }
        assert!(check_name(Named::Topic, "t", true).is_ok());
    }
}
