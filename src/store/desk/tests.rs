use super::*;
use crate::record::letter::{Action, Selection};

fn request(id: &str) -> Request {
    Request {
        id: id.to_owned(),
        selection: Selection::All,
        action: Action::Replay,
    }
}

#[test]
fn a_request_is_taken_once_and_answered() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "g").unwrap();
    let desk = Desk::open(dir.path(), "g").unwrap();
    assert_eq!(store.read_request().unwrap(), None);
    desk.ask(&request("1")).unwrap();
    assert_eq!(
        (desk.pending(), desk.answer(&request("1"))),
        (Some(request("1")), None)
    );
    assert_eq!(store.read_request().unwrap(), Some(request("1")));
    assert_eq!(desk.answer(&request("1")), Some(Progress::Taken));
    assert_eq!(
        store.read_request().unwrap(),
        Some(request("1")),
        "the next run takes it again"
    );
    let report = Report {
        replayed: 3,
        ..Report::default()
    };
    store.finish_request(&request("1"), &report).unwrap();
    assert_eq!(desk.answer(&request("1")), Some(Progress::Done(report)));
    assert_eq!((desk.pending(), store.read_request().unwrap()), (None, None));
    assert_eq!(
        desk.answer(&request("2")),
        None,
        "an answer to another one is none"
    );
}

#[test]
fn a_request_that_was_answered_before_a_crash_is_not_carried_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "g").unwrap();
    let desk = Desk::open(dir.path(), "g").unwrap();
    desk.ask(&request("1")).unwrap();
    store
        .say(&request("1"), Progress::Done(Report::default()))
        .unwrap();
    assert_eq!(store.read_request().unwrap(), None);
    assert_eq!(desk.pending(), None);
}

#[test]
fn one_command_at_a_time_and_damage_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "g").unwrap();
    let desk = Desk::open(dir.path(), "g").unwrap();
    let second = Desk::open(dir.path(), "g").unwrap_err();
    assert_eq!(second.reason.code, "dead_letters_busy");
    fs::write(&desk.request, "nonsense").unwrap();
    let failure = store.read_request().unwrap_err();
    assert_eq!(failure.reason.code, "dead_letter_request_unreadable");
    assert_eq!(store.read_request().unwrap(), None);
    desk.ask(&request("1")).unwrap();
    desk.withdraw().unwrap();
    assert_eq!(store.read_request().unwrap(), None);
}
