//! What an answer means: status, error code and body to an outcome, a failure, a disposition.
//!
//! Owns I10 on this side: every failure has exactly one disposition, and what is not known is tried again, never
//! dropped. One table, `rule`, knows all error codes. Two questions are kept apart: *what has to happen* (the
//! table), and *was it stored* ([`put_refused`], [`Lost`]): a request of unknown fate is not a failed one.
//! Pure: sees what came back, not how.

use std::time::Duration;

use crate::record::Outcome;
use crate::retry::{Disposition, Failure, Reason};

/// An answer that is not a success, as far as its meaning goes.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// Whatever came with it.
    pub body: &'a [u8],
    /// The wait that a `Retry-After` header asks for.
    pub retry_after: Option<Duration>,
    /// The server's clock minus ours, in seconds, by its `Date` header.
    pub skew_seconds: i64,
}

/// Why there is no answer, and whether the request can have had an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No connection came about: nothing was sent.
    NotSent(Reason),
    /// The request may have been carried out.
    Sent(Reason),
}

/// The service's own words.
#[derive(serde::Deserialize)]
struct ErrorBody {
    #[serde(rename = "ErrorCode")]
    code: String,
    #[serde(rename = "ErrorMessage", default)]
    message: String,
}

/// A difference of clocks beyond which an `Unauthorized` is put down to it.
const SKEW_SECONDS: u64 = 300;
/// No server may make the relay wait longer than this at once.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Longest part of a server's message that is passed on, in characters.
const MESSAGE_CHARS: usize = 300;

/// What an error code asks for.
#[derive(Clone, Copy)]
enum Verdict {
    /// The service could not do it now and did not.
    Later,
    /// The service broke down over it: it may have been done.
    Broke,
    Reroute,
    Poison,
    Halt(&'static str),
}

/// Remedy for a project or topic that the service does not accept by its name.
pub const NAMES: &str = "check DATAHUB_PROJECT and DATAHUB_TOPIC: DataHub's names begin with a letter and hold letters, \
     digits and underscores only, no hyphen (projects 3 to 32 characters, topics up to 128)";
const RIGHTS: &str = "grant the access key's RAM user the DataHub actions GetTopic, ListShard, PutRecords, GetCursor and \
     GetRecords on the topic (CreateTopic too with DATAHUB_CREATE_TOPIC), then restart";
const BUG: &str =
    "check that DATAHUB_ENDPOINT is a DataHub endpoint; if it is, report this message as a defect";

/// The table: all documented codes. A code that is not listed is `None`: tried again.
fn rule(code: &str) -> Option<(&'static str, Verdict)> {
    use Verdict::{Broke, Halt, Later, Poison, Reroute};
    Some(match code {
        "LimitExceeded" => (LIMIT_EXCEEDED, Later),
        "ShardNotReady" => ("datahub_shard_not_ready", Later),
        "ConsumerGroupInProcess" => ("datahub_group_in_process", Later),
        // A new token comes from the file that the next try reads.
        "ExpiredAccessToken" => ("datahub_token_expired", Later),
        // Cursors are made anew for every read.
        "InvalidCursor" => ("datahub_invalid_cursor", Later),
        "SeekOutOfRange" => (SEEK_OUT_OF_RANGE, Later),

        "InternalServerError" => ("datahub_internal_error", Broke),
        "OdpsServiceError" => ("datahub_odps_error", Broke),
        "MysqlServiceError" => ("datahub_mysql_error", Broke),

        "InvalidShardOperation" => (SHARD_SEALED, Reroute),
        "NoSuchShard" => ("datahub_no_such_shard", Reroute),

        "MalformedRecord" => ("datahub_malformed_record", Poison),

        "NoSuchProject" => (
            "datahub_no_such_project",
            Halt(
                "create the project in the DataHub console or correct DATAHUB_PROJECT (letters, digits and underscores, no hyphen), and check that DATAHUB_ENDPOINT is its region",
            ),
        ),
        "NoSuchTopic" => (
            NO_SUCH_TOPIC,
            Halt(
                "create the topic (record type BLOB), set `DATAHUB_CREATE_TOPIC=true`, or correct DATAHUB_TOPIC (letters, digits and underscores, no hyphen)",
            ),
        ),
        "Unauthorized" => (
            UNAUTHORIZED,
            Halt("check DATAHUB_ACCESS_ID and DATAHUB_ACCESS_KEY (and DATAHUB_SECURITY_TOKEN), then restart"),
        ),
        "NoPermission" => ("datahub_no_permission", Halt(RIGHTS)),
        "InvalidParameter" => (INVALID_PARAMETER, Halt(NAMES)),
        "InvalidUriSpec" => ("datahub_invalid_uri", Halt(NAMES)),
        "InvalidSchema" => ("datahub_invalid_schema", Halt(BUG)),
        "InvalidShardId" | "INVALID_SHARDID" => ("datahub_invalid_shard_id", Halt(BUG)),
        "OperationDenied" => (
            "datahub_operation_denied",
            Halt("ask the project's owner why the operation is denied, then restart"),
        ),
        "InvalidOperation" => (
            "datahub_invalid_operation",
            Halt("check the topic's settings in the DataHub console, then restart"),
        ),
        "ResourceLimit" => (
            "datahub_resource_limit",
            Halt("raise the account's DataHub quota or delete what is not needed, then restart"),
        ),
        "TopicOffline" => (
            "datahub_topic_offline",
            Halt("switch the topic on in the DataHub console, then restart"),
        ),
        "TopicAlreadyExist" => (TOPIC_EXISTS, Halt(BUG)),
        "ProjectAlreadyExist"
        | "ConnectorAlreadyExist"
        | "ResourceAlreadyExist"
        | "UserAlreadyExist"
        | "AlarmRuleAlreadyExist" => ("datahub_already_exists", Halt(BUG)),
        "ResourceNotFound" => ("datahub_not_found", Halt(NAMES)),
        "NoSuchConnector"
        | "NoSuchSubscription"
        | "NoSuchConsumer"
        | "NoSuchMeteringInfo"
        | "NoSuchAlarmRule"
        | "InvalidSubscription"
        | "ListSubscriptionOutofRange"
        | "SubscriptionOffline"
        | "OffsetReseted"
        | "OffsetSessionChanged"
        | "OffsetSessionClosed" => ("datahub_unexpected_error", Halt(BUG)),
        _ => return None,
    })
}

/// Reason code of a sealed shard; a reader takes it for the shard's end.
pub const SHARD_SEALED: &str = "datahub_shard_sealed";
/// Reason code of a position that the shard does not (or no longer) have.
pub const SEEK_OUT_OF_RANGE: &str = "datahub_seek_out_of_range";
/// Reason code of a topic that is there already.
pub const TOPIC_EXISTS: &str = "datahub_topic_exists";
/// Reason code of a topic that is missing.
pub const NO_SUCH_TOPIC: &str = "datahub_no_such_topic";
/// Reason code of a request whose fate is open because no answer came in time.
pub const TIMEOUT: &str = "datahub_timeout";
/// Reason code of an answer that exceeds what is read of one.
pub const ANSWER_TOO_LARGE: &str = "datahub_answer_too_large";
/// Reason code of an answer that cannot be read.
pub const UNREADABLE: &str = "datahub_unreadable_answer";
/// Reason code of a request that the service finds badly formed.
pub const INVALID_PARAMETER: &str = "datahub_invalid_parameter";
/// Reason code of an error code that is not in the table.
pub const UNKNOWN_ERROR: &str = "datahub_unknown_error";
const UNAUTHORIZED: &str = "datahub_unauthorized";
const LIMIT_EXCEEDED: &str = "datahub_limit_exceeded";

/// What a call that was not a success failed with. For calls that may be repeated at will: all but puts.
pub fn failure(answer: Answer<'_>) -> Failure {
    match parse(answer.body) {
        Some(error) => refusal(answer, &error).1,
        None => foreign(answer),
    }
}

/// What became of a put that was not a success.
///
/// The service's own word that it refused is believed; that it broke down, a status of 500 and above with a code that is no
/// verdict on the request, or an answer that is not its own, leaves open whether the records are there. Throttling is
/// decided before a request is looked at, whatever the status.
pub fn put_refused(answer: Answer<'_>) -> Outcome {
    let Some(error) = parse(answer.body) else {
        let failure = foreign(answer);
        return match failure.disposition {
            // Whoever turned the body away did so because of its size: nobody has stored it.
            Disposition::Poison(_) => Outcome::Refused(failure),
            Disposition::Retry { .. } | Disposition::Reroute | Disposition::Halt { .. } => Outcome::Unknown {
                reason: failure.reason,
            },
        };
    };
    let (stored, failure) = refusal(answer, &error);
    match stored {
        Stored::No => Outcome::Refused(failure),
        Stored::Perhaps => Outcome::Unknown {
            reason: failure.reason,
        },
    }
}

/// What the body of a successful answer says against its status, if it is an error: nobody knows which of them is right.
pub fn contradicted(body: &[u8]) -> Option<Reason> {
    parse(body).map(|error| Reason {
        code: UNREADABLE,
        message: format!(
            "a success whose body is an error: {}",
            said(&error.code, &error.message, true)
        ),
    })
}

/// What became of a put that got no answer.
pub fn put_lost(lost: Lost) -> Outcome {
    match lost {
        Lost::NotSent(reason) => Outcome::Refused(later(reason, None)),
        Lost::Sent(reason) => Outcome::Unknown { reason },
    }
}

/// What any other call failed with that got no answer.
pub fn lost(lost: Lost) -> Failure {
    match lost {
        Lost::NotSent(reason) | Lost::Sent(reason) => later(reason, None),
    }
}

/// Why record `index` of a put with per-record addressing was not stored.
pub fn record_refused(index: usize, code: &str, message: &str) -> Failure {
    let error = ErrorBody {
        code: code.to_owned(),
        message: message.to_owned(),
    };
    let answer = Answer {
        status: 200,
        body: &[],
        retry_after: None,
        skew_seconds: 0,
    };
    let (_, mut failure) = refusal(answer, &error);
    if let Disposition::Poison(at) = &mut failure.disposition {
        *at = Some(index);
    }
    failure
}

/// Whether the keys were refused: worth one look at the files they came from.
pub fn keys_refused(answer: Answer<'_>) -> bool {
    parse(answer.body)
        .is_some_and(|error| matches!(error.code.as_str(), "Unauthorized" | "ExpiredAccessToken"))
}

/// The refusal of a body that the service could not make sense of, if this is one: it lacks the addressing or the
/// compression that was used. Whatever the code, nothing was stored.
pub fn unreadable_body(answer: Answer<'_>) -> Option<Failure> {
    let error = parse(answer.body);
    let message = match error {
        Some(error) if error.message.contains("Parse body failed") => {
            said(&error.code, &error.message, false)
        }
        Some(_) | None if answer.status == 415 => {
            "HTTP 415: the request's body has an unknown form".to_owned()
        }
        Some(_) | None => return None,
    };
    Some(Failure::halt(
        "datahub_unreadable_body",
        message,
        "set `DATAHUB_COMPRESSION=none`; if that is not enough, check that DATAHUB_ENDPOINT is a DataHub endpoint",
    ))
}

enum Stored {
    No,
    Perhaps,
}

fn parse(body: &[u8]) -> Option<ErrorBody> {
    serde_json::from_slice(body).ok()
}

fn refusal(answer: Answer<'_>, error: &ErrorBody) -> (Stored, Failure) {
    let Some((code, verdict)) = rule(&error.code) else {
        return unlisted(answer, error);
    };
    let reason = Reason {
        code,
        message: said(&error.code, &error.message, matches!(verdict, Verdict::Poison)),
    };
    let failure = match verdict {
        Verdict::Later | Verdict::Broke => later(reason, answer.retry_after),
        Verdict::Reroute => failed(reason, Disposition::Reroute),
        Verdict::Poison => failed(reason, Disposition::Poison(None)),
        Verdict::Halt(_) if code == UNAUTHORIZED && answer.skew_seconds.unsigned_abs() > SKEW_SECONDS => {
            clock_skew(answer.skew_seconds)
        }
        Verdict::Halt(remedy) => failed(
            reason,
            Disposition::Halt {
                remedy: remedy.into(),
            },
        ),
    };
    let stored = match verdict {
        Verdict::Broke => Stored::Perhaps,
        // "Not now" with a status that says "I broke": the front end may speak for a request that went further. Only
        // throttling is decided before anything is done.
        Verdict::Later if answer.status >= 500 && code != LIMIT_EXCEEDED => Stored::Perhaps,
        Verdict::Later | Verdict::Reroute | Verdict::Poison | Verdict::Halt(_) => Stored::No,
    };
    (stored, failure)
}

/// A code that is not in the table: the status is all there is to go by.
fn unlisted(answer: Answer<'_>, error: &ErrorBody) -> (Stored, Failure) {
    if answer.status == 413 {
        return (Stored::No, body_too_large());
    }
    let reason = Reason {
        code: UNKNOWN_ERROR,
        message: said(&error.code, &error.message, true),
    };
    let stored = if answer.status >= 500 {
        Stored::Perhaps
    } else {
        Stored::No
    };
    (stored, later(reason, answer.retry_after))
}

/// An answer that DataHub did not give: a proxy, a balancer, a login page.
fn foreign(answer: Answer<'_>) -> Failure {
    let status = answer.status;
    let (code, message) = match status {
        200..=299 => (
            "datahub_foreign_answer",
            format!(
                "HTTP {status} without DataHub's marks: check that DATAHUB_ENDPOINT is a DataHub endpoint"
            ),
        ),
        300..=399 => (
            "datahub_redirected",
            format!("HTTP {status}, a redirect, which is never followed: check DATAHUB_ENDPOINT"),
        ),
        413 => return body_too_large(),
        _ => (
            "datahub_proxy_error",
            format!("HTTP {status} without a DataHub error, as a proxy or balancer answers"),
        ),
    };
    later(Reason { code, message }, answer.retry_after)
}

fn body_too_large() -> Failure {
    let reason = Reason {
        code: "datahub_body_too_large",
        message: "HTTP 413: the request's body is too large for the service or a proxy".to_owned(),
    };
    failed(reason, Disposition::Poison(None))
}

fn clock_skew(seconds: i64) -> Failure {
    let (size, side) = (
        seconds.unsigned_abs(),
        if seconds > 0 { "behind" } else { "ahead of" },
    );
    Failure::halt(
        "datahub_clock_skew",
        format!("DataHub refused the signature, and this machine's clock is {size} s {side} DataHub's"),
        "set this machine's clock (NTP), then restart",
    )
}

fn later(reason: Reason, after: Option<Duration>) -> Failure {
    let after = after.map(|wait| wait.min(LONGEST_WAIT));
    failed(reason, Disposition::Retry { after })
}

fn failed(reason: Reason, disposition: Disposition) -> Failure {
    Failure { disposition, reason }
}

/// The service's words, bounded and on one line. Where they may quote a record, values are taken out: they stand in
/// brackets, or behind a colon.
fn said(code: &str, message: &str, may_quote: bool) -> String {
    let mut text: String = format!("DataHub answered {code}: ");
    let mut depth = 0usize;
    for c in message.chars().take(MESSAGE_CHARS) {
        match c {
            ':' if may_quote && depth == 0 => break,
            '[' if may_quote => {
                if depth == 0 {
                    text.push_str("[…]");
                }
                depth += 1;
            }
            ']' if may_quote => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            c if c.is_control() => text.push(' '),
            c => text.push(c),
        }
    }
    text.truncate(text.trim_end_matches([' ', ':', '.']).len());
    text
}

#[cfg(test)]
mod tests;
