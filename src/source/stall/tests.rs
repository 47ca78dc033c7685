use super::*;

const U: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(last: u64) -> GtidSet {
    format!("{U}:1-{last}").parse().unwrap()
}

fn files() -> Vec<(String, u64)> {
    vec![("b.1".to_owned(), 900), ("b.2".to_owned(), 500)]
}

/// Judges the same look every ten seconds; the seconds and the remedy when there is one, within five minutes.
fn repeated(look: &Look<'_>) -> Option<(u64, Remedy)> {
    let (mut stall, start) = (Stall::default(), Instant::now());
    (0..=30).map(|n| n * 10).find_map(|seconds| {
        let remedy = stall.judge(start + Duration::from_secs(seconds), look)?;
        Some((seconds, remedy))
    })
}

fn code(look: &Look<'_>) -> Option<(u64, &'static str, Option<String>)> {
    repeated(look).map(|(seconds, remedy)| (seconds, remedy.failure.reason.code, remedy.next_file))
}

#[test]
fn silence_is_explained_by_what_the_server_has() {
    let files = files();
    let by_file = |file, pos| Look {
        files: &files,
        executed: None,
        read: None,
        file,
        pos,
        events: 7,
    };
    // All is read.
    assert_eq!(code(&by_file("b.2", 500)), None);
    // More than was known when the server was asked.
    assert_eq!(code(&by_file("b.2", 700)), None);
    // Another series, or a list that is older.
    assert_eq!(code(&by_file("b.3", 4)), None);
    assert_eq!(code(&by_file("b.2", 400)), Some((60, "source_stalled", None)));
    assert_eq!(code(&by_file("b.1", 899)), Some((60, "source_stalled", None)));
    assert_eq!(
        code(&by_file("b.1", 900)),
        Some((10, "file_end_not_left", Some("b.2".to_owned())))
    );

    let (five, six, none) = (set(5), set(6), GtidSet::default());
    let by_set = |executed, read| Look {
        executed,
        read: Some(read),
        // Filtered transactions lie between: the place says nothing.
        ..by_file("b.1", 900)
    };
    assert_eq!(code(&by_set(Some(&five), &five)), None);
    assert_eq!(code(&by_set(Some(&none), &five)), None);
    assert_eq!(code(&by_set(None, &five)), None);
    assert_eq!(
        code(&by_set(Some(&six), &five)),
        Some((60, "source_stalled", None))
    );
    assert_eq!(
        code(&by_set(Some(&five), &six)),
        Some((60, "server_behind_position", None))
    );
}

#[test]
fn the_exact_difference_is_named() {
    let (five, nine, files) = (set(5), set(9), files());
    let look = |executed, read| Look {
        files: &files,
        executed: Some(executed),
        read: Some(read),
        file: "b.2",
        pos: 500,
        events: 7,
    };
    for (look, verb) in [(look(&nine, &five), "to send"), (look(&five, &nine), "has not")] {
        let message = repeated(&look).unwrap().1.failure.reason.message;
        assert!(
            message.contains(&format!("{U}:6-9"))
                && message.contains("4 transactions")
                && message.contains(verb),
            "{message}"
        );
    }
}

/// A slow stream is none that stands: a throttled service, or one long transaction.
#[test]
fn an_event_is_as_good_as_a_transaction() {
    let (files, read, executed) = (files(), set(5), set(9));
    let (mut stall, start) = (Stall::default(), Instant::now());
    for n in 0..100 {
        let look = Look {
            files: &files,
            executed: Some(&executed),
            read: Some(&read),
            file: "b.1",
            pos: 100,
            events: n / 5,
        };
        assert_eq!(
            stall.judge(start + Duration::from_secs(n * 10), &look),
            None,
            "{n}"
        );
    }
}

#[test]
fn what_passes_in_between_begins_anew() {
    let (files, read, executed) = (files(), set(5), set(9));
    let look = |executed| Look {
        files: &files,
        executed: Some(executed),
        read: Some(&read),
        file: "b.1",
        pos: 100,
        events: 7,
    };
    let (mut stall, start) = (Stall::default(), Instant::now());
    let mut judge = |seconds, executed| stall.judge(start + Duration::from_secs(seconds), &look(executed));
    assert_eq!(judge(0, &executed), None);
    assert_eq!(judge(50, &read), None);
    assert_eq!(judge(61, &executed), None);
    assert_eq!(judge(120, &executed), None);
    assert!(judge(121, &executed).is_some());
}
