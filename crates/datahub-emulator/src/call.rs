//! Which call a request is: method and path say where, the action says what.

use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::sign::percent_decode;

/// The kinds of call, as fault plans and counters name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names of the calls themselves")]
pub enum CallKind {
    ListProjects,
    CreateProject,
    GetProject,
    UpdateProject,
    DeleteProject,
    ListTopics,
    CreateTopic,
    #[serde(alias = "topic")]
    GetTopic,
    UpdateTopic,
    DeleteTopic,
    AppendField,
    Schema,
    #[serde(alias = "shards")]
    ListShards,
    Split,
    Merge,
    Extend,
    Put,
    Cursor,
    Get,
    Meter,
    Subscription,
    Offsets,
    Group,
    Unknown,
}

/// What a path points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Projects,
    Project,
    Topics,
    Topic,
    Shards,
    Shard(String),
    Subscriptions,
    Subscription(String),
    Offsets(String),
    Unknown,
}

/// A path taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) project: String,
    pub(crate) topic: String,
    pub(crate) section: Section,
}

impl Target {
    pub(crate) fn parse(path: &str) -> Target {
        let parts: Vec<String> = path
            .split('/')
            .skip(1)
            .map(|part| String::from_utf8_lossy(&percent_decode(part.as_bytes(), false)).into_owned())
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (project, topic, section) = match parts.as_slice() {
            ["projects"] => ("", "", Section::Projects),
            ["projects", project] => (*project, "", Section::Project),
            ["projects", project, "topics"] => (*project, "", Section::Topics),
            ["projects", project, "topics", topic] => (*project, *topic, Section::Topic),
            ["projects", project, "topics", topic, rest @ ..] => (*project, *topic, section(rest)),
            _ => ("", "", Section::Unknown),
        };
        Target {
            project: project.to_owned(),
            topic: topic.to_owned(),
            section,
        }
    }

    /// The shard in the path, if there is one.
    pub(crate) fn shard(&self) -> Option<&str> {
        match &self.section {
            Section::Shard(id) => Some(id),
            _ => None,
        }
    }

    /// The kind of call; `action` is the one in the body or, for protobuf, in the header.
    pub(crate) fn kind(&self, method: &Method, action: &str) -> CallKind {
        let action = action.to_ascii_lowercase();
        match (&self.section, method.as_str(), action.as_str()) {
            (Section::Projects, "GET", _) => CallKind::ListProjects,
            (Section::Project, "GET", _) => CallKind::GetProject,
            (Section::Project, "POST", _) => CallKind::CreateProject,
            (Section::Project, "PUT", _) => CallKind::UpdateProject,
            (Section::Project, "DELETE", _) => CallKind::DeleteProject,
            (Section::Topics, "GET", _) => CallKind::ListTopics,
            (Section::Topic, "GET", _) => CallKind::GetTopic,
            (Section::Topic, "POST", "" | "create") => CallKind::CreateTopic,
            (Section::Topic, "POST", "appendfield") => CallKind::AppendField,
            (Section::Topic, "POST", "listschema" | "getschema" | "registerschema" | "deleteschema") => {
                CallKind::Schema
            }
            (Section::Topic, "PUT", _) => CallKind::UpdateTopic,
            (Section::Topic, "DELETE", _) => CallKind::DeleteTopic,
            (Section::Shards, "GET", _) => CallKind::ListShards,
            (Section::Shards, "POST", "split") => CallKind::Split,
            (Section::Shards, "POST", "merge") => CallKind::Merge,
            (Section::Shards, "POST", "extend") => CallKind::Extend,
            (Section::Shards | Section::Shard(_), "POST", "pub") => CallKind::Put,
            (Section::Shard(_), "POST", "cursor") => CallKind::Cursor,
            (Section::Shard(_), "POST", "sub") => CallKind::Get,
            (Section::Shard(_), "POST", "meter") => CallKind::Meter,
            (Section::Subscriptions, "POST", "create" | "list")
            | (Section::Subscription(_), "GET" | "PUT" | "DELETE", _) => CallKind::Subscription,
            (Section::Subscription(_), "POST", _) => CallKind::Group,
            (Section::Offsets(_), "POST" | "PUT", _) => CallKind::Offsets,
            _ => CallKind::Unknown,
        }
    }
}

fn section(rest: &[&str]) -> Section {
    match rest {
        ["shards"] => Section::Shards,
        ["shards", id] => Section::Shard((*id).to_owned()),
        ["subscriptions"] => Section::Subscriptions,
        ["subscriptions", id] => Section::Subscription((*id).to_owned()),
        ["subscriptions", id, "offsets"] => Section::Offsets((*id).to_owned()),
        _ => Section::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_actions() {
        let kind = |method: Method, path: &str, action: &str| Target::parse(path).kind(&method, action);
        assert_eq!(kind(Method::GET, "/projects", ""), CallKind::ListProjects);
        assert_eq!(
            kind(Method::POST, "/projects/p/topics/t", ""),
            CallKind::CreateTopic
        );
        assert_eq!(
            kind(Method::POST, "/projects/p/topics/t", "AppendField"),
            CallKind::AppendField
        );
        assert_eq!(
            kind(Method::POST, "/projects/p/topics/t/shards/3", "pub"),
            CallKind::Put
        );
        assert_eq!(
            kind(Method::POST, "/projects/p/topics/t/subscriptions/s", "heartBeat"),
            CallKind::Group
        );
        assert_eq!(kind(Method::POST, "/", ""), CallKind::Unknown);
        assert_eq!(
            kind(Method::POST, "/projects/p/topics/t/x/y/z", ""),
            CallKind::Unknown
        );
        assert_eq!(Target::parse("/projects/p%20q").project, "p q");
    }
}
