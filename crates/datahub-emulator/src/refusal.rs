//! How the service says no: a status, a code and a message. SDKs go by the code alone.

use serde_json::json;

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    /// The refusal with this code, under the status that goes with it.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Refusal {
        Refusal {
            status: status_of(code),
            code: code.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn parameter(message: impl Into<String>) -> Refusal {
        Refusal::new("InvalidParameter", message)
    }

    pub(crate) fn malformed(message: impl Into<String>) -> Refusal {
        Refusal::new("MalformedRecord", message)
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Refusal {
        Refusal::new("Unauthorized", message)
    }

    pub(crate) fn sealed() -> Refusal {
        Refusal::new("InvalidShardOperation", "The specified shard is not active.")
    }

    /// The body of the error answer.
    pub(crate) fn to_json(&self, request_id: &str) -> String {
        json!({"ErrorCode": self.code, "ErrorMessage": self.message, "RequestId": request_id}).to_string()
    }
}

/// The status that the emulator sends with a code. Only 403 for `Unauthorized` is documented; the rest is what
/// the meaning suggests.
pub(crate) fn status_of(code: &str) -> u16 {
    match code {
        "LimitExceeded" => 429,
        "InternalServerError" | "OdpsServiceError" | "MysqlServiceError" => 500,
        "ShardNotReady" => 503,
        "ConsumerGroupInProcess" => 409,
        "Unauthorized" | "ExpiredAccessToken" | "NoPermission" | "OperationDenied" => 403,
        _ if code.starts_with("NoSuch") || code == "ResourceNotFound" => 404,
        _ if code.ends_with("AlreadyExist") => 409,
        _ => 400,
    }
}
