//! Every code, every kind of answer.

use super::*;

fn answer(status: u16, body: &[u8]) -> Answer<'_> {
    Answer {
        status,
        body,
        retry_after: None,
        skew_seconds: 0,
    }
}

fn json(code: &str) -> String {
    format!(r#"{{"ErrorCode":"{code}","ErrorMessage":"Sorry.","RequestId":"r"}}"#)
}

fn disposition(code: &str) -> &'static str {
    match failure(answer(400, json(code).as_bytes())).disposition {
        Disposition::Retry { .. } => "retry",
        Disposition::Reroute => "reroute",
        Disposition::Poison(_) => "poison",
        Disposition::Halt { .. } => "halt",
    }
}

#[test]
fn i10_every_code_has_its_disposition() {
    for (expected, codes) in [
        (
            "retry",
            "LimitExceeded InternalServerError ShardNotReady ConsumerGroupInProcess ExpiredAccessToken InvalidCursor \
             SeekOutOfRange OdpsServiceError MysqlServiceError SomethingNew",
        ),
        ("reroute", "InvalidShardOperation NoSuchShard"),
        ("poison", "MalformedRecord"),
        (
            "halt",
            "NoSuchProject NoSuchTopic Unauthorized NoPermission InvalidParameter InvalidSchema InvalidUriSpec InvalidShardId \
             INVALID_SHARDID OperationDenied InvalidOperation ResourceLimit TopicOffline TopicAlreadyExist ResourceNotFound",
        ),
    ] {
        for code in codes.split_whitespace() {
            assert_eq!(disposition(code), expected, "{code}");
        }
    }
}

#[test]
fn i10_every_code_of_the_official_client_is_known() {
    let codes: Vec<String> =
        serde_json::from_str(include_str!("../../../tests/vectors/error_codes.json")).unwrap();
    assert!(codes.len() > 30);
    for code in codes {
        assert_eq!(rule(&code).is_some(), code != "SomethingNew", "{code}");
    }
}

#[test]
fn i10_only_the_services_word_makes_a_put_refused() {
    let html = "<html>bad gateway</html>";
    for (status, body, expected) in [
        (403, json("NoPermission"), "refused"),
        (429, json("LimitExceeded"), "refused"),
        (500, json("LimitExceeded"), "refused"),
        (400, json("ShardNotReady"), "refused"),
        (503, json("ShardNotReady"), "unknown"),
        (500, json("ExpiredAccessToken"), "unknown"),
        (500, json("InvalidShardOperation"), "refused"),
        (404, json("NoSuchTopic"), "refused"),
        (400, json("SomethingNew"), "refused"),
        (500, json("SomethingNew"), "unknown"),
        (500, json("InternalServerError"), "unknown"),
        (400, json("InternalServerError"), "unknown"),
        (502, html.into(), "unknown"),
        (503, html.into(), "unknown"),
        (504, String::new(), "unknown"),
        (500, String::new(), "unknown"),
        (429, html.into(), "unknown"),
        (302, String::new(), "unknown"),
        (200, html.into(), "unknown"),
        (400, "{\"ErrorCode\":5}".into(), "unknown"),
        (400, "{\"ErrorCode\":\"MalformedReco".into(), "unknown"),
        (413, html.into(), "refused"),
    ] {
        let outcome = match put_refused(answer(status, body.as_bytes())) {
            Outcome::Refused(_) => "refused",
            Outcome::Unknown { .. } => "unknown",
            Outcome::Acknowledged | Outcome::Partial(_) => "stored",
        };
        assert_eq!(outcome, expected, "{status} {body}");
    }
}

#[test]
fn i10_a_success_that_says_error_is_open() {
    let said = contradicted(json("MalformedRecord").as_bytes()).unwrap();
    assert_eq!(said.code, UNREADABLE);
    assert!(said.message.contains("MalformedRecord"), "{said:?}");
    for body in ["", "{}", "OK", "{\"RequestId\":\"r\"}"] {
        assert_eq!(contradicted(body.as_bytes()), None, "{body:?}");
    }
}

#[test]
fn i10_what_was_never_sent_is_refused_and_what_was_is_open() {
    let reason = Reason {
        code: "c",
        message: "m".into(),
    };
    let not_sent = put_lost(Lost::NotSent(reason.clone()));
    assert_eq!(not_sent, Outcome::Refused(Failure::retry("c", "m")));
    let sent = put_lost(Lost::Sent(reason.clone()));
    assert_eq!(sent, Outcome::Unknown { reason });
}

#[test]
fn a_refused_signature_is_put_down_to_the_clock_if_that_is_off() {
    let body = json("Unauthorized");
    let at = |skew_seconds| {
        failure(Answer {
            skew_seconds,
            ..answer(403, body.as_bytes())
        })
    };
    assert_eq!(at(300).reason.code, "datahub_unauthorized");
    let behind = at(3600);
    assert_eq!(behind.reason.code, "datahub_clock_skew");
    assert!(behind.reason.message.contains("3600 s behind"), "{behind}");
    assert!(at(-301).reason.message.contains("301 s ahead of"));
    // Other refusals have nothing to do with the clock.
    let other = json("NoPermission");
    let other = Answer {
        skew_seconds: 3600,
        ..answer(403, other.as_bytes())
    };
    assert_eq!(failure(other).reason.code, "datahub_no_permission");
}

#[test]
fn a_wait_that_the_server_asks_for_is_kept_within_reason() {
    let body = json("LimitExceeded");
    for (asked, kept) in [(7, 7), (86_400, 300)] {
        let asked = Answer {
            retry_after: Some(Duration::from_secs(asked)),
            ..answer(429, body.as_bytes())
        };
        let after = Some(Duration::from_secs(kept));
        assert_eq!(failure(asked).disposition, Disposition::Retry { after });
    }
}

#[test]
fn row_values_do_not_leave_through_a_message() {
    for (message, shown) in [
        (
            "Parse field value [secret] to DOUBLE failed: secret",
            "DataHub answered MalformedRecord: Parse field value […] to DOUBLE failed",
        ),
        (
            "Timestamp field value over range: 99999",
            "DataHub answered MalformedRecord: Timestamp field value over range",
        ),
        (
            "odd [[secret] secret] end.",
            "DataHub answered MalformedRecord: odd […] end",
        ),
    ] {
        let failure = record_refused(3, "MalformedRecord", message);
        assert_eq!(failure.reason.message, shown);
        assert_eq!(failure.disposition, Disposition::Poison(Some(3)));
    }
    let long = record_refused(0, "InvalidParameter", &"x\n".repeat(4000))
        .reason
        .message;
    assert!(long.len() < 400 && !long.contains('\n'));
}

#[test]
fn what_a_service_cannot_read_is_told_apart() {
    let old = br#"{"ErrorCode":"InvalidParameter","ErrorMessage":"Parse body failed, Offset: 0"}"#;
    let failure = unreadable_body(answer(400, old)).unwrap();
    assert!(matches!(failure.disposition, Disposition::Halt { .. }));
    assert!(failure.reason.message.contains("Parse body failed"));
    assert_eq!(
        unreadable_body(answer(400, json("InvalidParameter").as_bytes())),
        None
    );
    assert!(unreadable_body(answer(415, b"")).is_some());
}
