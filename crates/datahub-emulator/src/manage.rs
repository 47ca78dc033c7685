//! Calls on projects and topics, and the read-only part of the schema registry.

use serde_json::{Value, json};

use crate::call::{CallKind, Target};
use crate::options::{Options, TopicSpec};
use crate::refusal::Refusal;
use crate::schema::{Field, FieldType, Schema};
use crate::topic::{Moment, RecordKind, Topic};
use crate::world::{Named, Project, World, check_name};

const MAX_PROJECTS: usize = 50;
const MAX_TOPICS: usize = 500;

/// Answers a call on projects or topics.
pub(crate) fn handle(
    world: &mut World,
    kind: CallKind,
    target: &Target,
    request: &Value,
    now: Moment<'_>,
) -> Result<Value, Refusal> {
    let now_s = now.ms() / 1000;
    let comment = request.get("Comment").and_then(Value::as_str);
    match kind {
        CallKind::ListProjects => {
            let names: Vec<&String> = world.projects.keys().collect();
            Ok(json!({ "ProjectNames": names }))
        }
        CallKind::CreateProject => {
            create_project(world, &target.project, comment.unwrap_or_default(), now)?;
            Ok(Value::Null)
        }
        CallKind::GetProject => {
            let project = world.project(&target.project)?;
            Ok(json!({
                "Comment": project.comment,
                "CreateTime": project.created_s,
                "LastModifyTime": project.modified_s,
                "ProjectName": target.project.to_lowercase(),
            }))
        }
        CallKind::UpdateProject => {
            let project = world.project(&target.project)?;
            comment.unwrap_or_default().clone_into(&mut project.comment);
            project.modified_s = now_s;
            Ok(Value::Null)
        }
        CallKind::DeleteProject => {
            if !world.project(&target.project)?.topics.is_empty() {
                return Err(Refusal::new("OperationDenied", "The project still has topics."));
            }
            world.projects.remove(&target.project.to_lowercase());
            Ok(Value::Null)
        }
        CallKind::ListTopics => {
            let names: Vec<&String> = world.project(&target.project)?.topics.keys().collect();
            Ok(json!({ "TopicNames": names }))
        }
        CallKind::DeleteTopic => {
            let bytes: u64 = world
                .topic(&target.project, &target.topic)?
                .shards
                .iter()
                .map(|s| s.bytes)
                .sum();
            world
                .project(&target.project)?
                .topics
                .remove(&target.topic.to_lowercase());
            world.stored_bytes = world.stored_bytes.saturating_sub(bytes);
            Ok(Value::Null)
        }
        CallKind::CreateTopic => create_topic(world, target, request, now),
        _ => on_topic(world.topic(&target.project, &target.topic)?, kind, request, now_s),
    }
}

fn on_topic(topic: &mut Topic, kind: CallKind, request: &Value, now_s: u64) -> Result<Value, Refusal> {
    match kind {
        CallKind::GetTopic => Ok(topic.describe()),
        CallKind::UpdateTopic => {
            if let Some(comment) = request.get("Comment").and_then(Value::as_str) {
                comment.clone_into(&mut topic.comment);
            }
            topic.lifecycle = lifecycle(request, topic.lifecycle)?;
            topic.modified_s = now_s;
            Ok(Value::Null)
        }
        CallKind::AppendField => append_field(topic, request).map(|()| Value::Null),
        CallKind::Schema => registry(topic, request),
        _ => Err(Refusal::new(
            "InvalidUriSpec",
            "The request is not one that the emulator knows.",
        )),
    }
}

fn create_project(world: &mut World, name: &str, comment: &str, now: Moment<'_>) -> Result<(), Refusal> {
    check_name(Named::Project, name, now.options.strict_names)?;
    let key = name.to_lowercase();
    if world.projects.contains_key(&key) {
        return Err(Refusal::new(
            "ProjectAlreadyExist",
            format!("The project already exists: {name}"),
        ));
    }
    if world.projects.len() >= MAX_PROJECTS {
        return Err(Refusal::new("ResourceLimit", "Too many projects."));
    }
    world.projects.insert(key, Project::new(comment, now.ms() / 1000));
    Ok(())
}

fn create_topic(
    world: &mut World,
    target: &Target,
    request: &Value,
    now: Moment<'_>,
) -> Result<Value, Refusal> {
    let text = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = match text("RecordType").to_ascii_uppercase().as_str() {
        "BLOB" => RecordKind::Blob,
        "TUPLE" => RecordKind::Tuple(Schema::parse(text("RecordSchema"))?),
        other => return Err(Refusal::parameter(format!("Record type is invalid: {other}"))),
    };
    let shards = request
        .get("ShardCount")
        .and_then(Value::as_u64)
        .filter(|n| (1..=256).contains(n));
    let shards = shards.and_then(|n| u32::try_from(n).ok());
    let shards = shards.ok_or_else(|| Refusal::parameter("Shard count is invalid: 1 to 256 are allowed"))?;
    let lifecycle = lifecycle(request, 3)?;
    let extend = match text("ExpandMode").to_ascii_lowercase().as_str() {
        "" | "split" => false,
        "extend" => true,
        other => return Err(Refusal::parameter(format!("Expand mode is invalid: {other}"))),
    };
    let topic = insert_topic(world, &target.project, &target.topic, kind, shards, now)?;
    topic.lifecycle = lifecycle;
    topic.extend = extend;
    text("Comment").clone_into(&mut topic.comment);
    Ok(Value::Null)
}

fn insert_topic<'w>(
    world: &'w mut World,
    project: &str,
    topic: &str,
    kind: RecordKind,
    shards: u32,
    now: Moment<'_>,
) -> Result<&'w mut Topic, Refusal> {
    check_name(Named::Topic, topic, now.options.strict_names)?;
    let topics = &mut world.project(project)?.topics;
    let key = topic.to_lowercase();
    if topics.contains_key(&key) {
        return Err(Refusal::new(
            "TopicAlreadyExist",
            format!("The topic already exists: {topic}"),
        ));
    }
    if topics.len() >= MAX_TOPICS {
        return Err(Refusal::new("ResourceLimit", "Too many topics."));
    }
    let made = Topic::new(&project.to_lowercase(), &key, kind, shards, now);
    Ok(topics.entry(key).or_insert(made))
}

/// Makes a topic of the options, and its project when missing.
pub(crate) fn create_from_spec(
    world: &mut World,
    spec: &TopicSpec,
    options: &Options,
    now_us: u64,
) -> Result<(), Refusal> {
    let now = Moment { us: now_us, options };
    if !world.projects.contains_key(&spec.project.to_lowercase()) {
        create_project(world, &spec.project, "", now)?;
    }
    let kind = match &spec.schema {
        None => RecordKind::Blob,
        Some(text) => RecordKind::Tuple(Schema::parse(text)?),
    };
    if !(1..=256).contains(&spec.shards) {
        return Err(Refusal::parameter(format!(
            "Shard count is invalid: {}",
            spec.shards
        )));
    }
    insert_topic(world, &spec.project, &spec.topic, kind, spec.shards, now).map(|_| ())
}

fn lifecycle(request: &Value, default: i64) -> Result<i64, Refusal> {
    let days = request
        .get("Lifecycle")
        .and_then(Value::as_i64)
        .unwrap_or(default);
    if (1..=7).contains(&days) {
        return Ok(days);
    }
    Err(Refusal::parameter(format!(
        "Lifecycle is invalid: {days}, 1 to 7 days are allowed"
    )))
}

fn append_field(topic: &mut Topic, request: &Value) -> Result<(), Refusal> {
    let RecordKind::Tuple(schema) = &mut topic.kind else {
        return Err(Refusal::parameter("A topic of type BLOB has no fields"));
    };
    let text = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = FieldType::by_name(text("FieldType"))
        .ok_or_else(|| Refusal::parameter(format!("Field type is invalid: {}", text("FieldType"))))?;
    if request
        .get("NotNull")
        .or(request.get("notnull"))
        .and_then(Value::as_bool)
        == Some(true)
    {
        return Err(Refusal::parameter("An appended field must allow null"));
    }
    let field = Field {
        name: text("FieldName").to_owned(),
        kind,
        notnull: false,
        comment: text("Comment").to_owned(),
    };
    schema.add(field)
}

/// The registry as far as batch writers look at it: one version, the schema in force.
fn registry(topic: &Topic, request: &Value) -> Result<Value, Refusal> {
    let RecordKind::Tuple(schema) = &topic.kind else {
        return Err(Refusal::new(
            "ResourceNotFound",
            "A topic of type BLOB has no schema",
        ));
    };
    let action = request
        .get("Action")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let text = schema.to_text();
    match action.as_str() {
        "listschema" => Ok(json!({
            "PageCount": 1, "PageNumber": 1, "PageSize": 100, "TotalCount": 1,
            "RecordSchemaList": [
                {"VersionId": 0, "RecordSchema": text, "CreateTime": topic.created_s, "Creator": "emulator"}
            ],
        })),
        "getschema" => {
            let version = request.get("VersionId").and_then(Value::as_i64).unwrap_or(-1);
            let given = request
                .get("RecordSchema")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let same = !given.is_empty() && Schema::parse(given)?.to_text() == text;
            if version != 0 && !same {
                return Err(Refusal::new(
                    "ResourceNotFound",
                    "The topic has no such schema version",
                ));
            }
            Ok(json!({"VersionId": 0, "RecordSchema": text}))
        }
        _ => Err(Refusal::new(
            "InvalidOperation",
            "The emulator's schema registry is read-only.",
        )),
    }
}
