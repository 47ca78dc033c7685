use super::*;
use crate::source::schema::ColumnDefinition;

fn id() -> TableId {
    TableId {
        db: "shop".to_owned(),
        table: "t".to_owned(),
    }
}

fn definition(names: &str) -> Arc<TableDefinition> {
    let columns = names.split(' ').map(|name| ColumnDefinition {
        name: name.to_owned(),
        column_type: "int".to_owned(),
        charset: None,
    });
    Arc::new(TableDefinition {
        charset: None,
        columns: columns.collect(),
        primary_key: Vec::new(),
    })
}

const FILE: &str = "bin.000002";

fn at(pos: u64) -> Point<'static> {
    Point {
        file: FILE,
        pos,
        gtid_set: None,
    }
}

fn position(pos: u64) -> Position {
    at(pos).to_position()
}

fn beginning<'a>(
    start: &'a Position,
    resumed: bool,
    oldest: &'a FilePosition,
    head: &'a FilePosition,
) -> Beginning<'a> {
    Beginning {
        start,
        resumed,
        same_server: true,
        oldest,
        head,
        executed: None,
    }
}

/// The history as another run finds it.
fn again(history: &History, start: u64, resumed: bool) -> History {
    let mut history: History = serde_json::from_str(&serde_json::to_string(history).unwrap()).unwrap();
    let (start, oldest, head) = (position(start), position(4).file, position(1 << 40).file);
    assert_eq!(
        history.begin(beginning(&start, resumed, &oldest, &head)),
        Fate::Kept
    );
    history
}

/// `a b` from 10, `a c` from 20, `a c d` from 30; read up to 40.
fn three_versions() -> History {
    let mut history = History::default();
    let start = position(4);
    history.begin(beginning(
        &start,
        false,
        &position(4).file,
        &position(1 << 40).file,
    ));
    history.learn(&id(), at(10), &definition("a b"), 1);
    history.changed(&id(), at(20), Touch::of(b"rename column b to c"));
    history.learn(&id(), at(25), &definition("a c"), 2);
    history.changed(&id(), at(30), Touch::of(b"add d int"));
    history.learn(&id(), at(30), &definition("a c d"), 3);
    history.snapshot(&position(40))
}

#[test]
fn i6_each_version_holds_from_its_statement_on() {
    let history = again(&three_versions(), 4, true);
    let held = |pos| match history.find(&id(), at(pos)) {
        Found::Held(definition) => definition
            .columns
            .iter()
            .map(|c| c.name.as_str())
            .collect::<String>(),
        Found::Later(..) => "later".to_owned(),
        Found::Nothing => "nothing".to_owned(),
    };
    let found: Vec<_> = [9, 10, 19, 20, 29, 30, 1000].map(held).to_vec();
    assert_eq!(found, ["later", "ab", "ab", "ac", "ac", "acd", "acd"]);
    let elsewhere = Point {
        file: "bin.000010",
        ..at(4)
    };
    assert_eq!(history.find(&id(), elsewhere), Found::Held(definition("a c d")));
}

#[test]
fn i6_what_was_read_before_is_decided_by_the_history_and_not_by_statements() {
    let mut history = again(&three_versions(), 12, true);
    assert!(history.replays(at(39)) && !history.replays(at(40)));
    // The statement at 20 comes again, and one that turned out to change nothing.
    assert_eq!(history.changed(&id(), at(20), Touch::ANYTHING), None);
    assert_eq!(history.changed(&id(), at(27), Touch::ANYTHING), None);
    assert_eq!(history.find(&id(), at(28)), Found::Held(definition("a c")));
    // What comes behind it is new.
    let held = history.changed(&id(), at(50), Touch::ANYTHING).unwrap();
    assert_eq!((held.definition, held.read_at), (Some(definition("a c d")), 3));
    assert_eq!(history.find(&id(), at(50)), Found::Nothing);
}

#[test]
fn i6_a_mark_survives_a_restart() {
    let mut history = three_versions();
    history.changed(&id(), at(50), Touch::of(b"alter table t rename column a to z"));
    let history = again(&history.snapshot(&position(60)), 60, true);
    assert_eq!(history.find(&id(), at(61)), Found::Nothing);
    assert_eq!(
        history.before_mark(&id(), at(61)),
        None,
        "the name may be another one"
    );
}

#[test]
fn a_statement_that_cannot_change_a_meaning_leaves_the_way_back() {
    let mut history = three_versions();
    history.changed(&id(), at(50), Touch::of(b"alter table t add index (a)"));
    assert_eq!(history.find(&id(), at(50)), Found::Nothing);
    assert_eq!(history.before_mark(&id(), at(50)), Some((definition("a c d"), 3)));
    // Dropped by one statement and added by the next: as many columns as before, and another one.
    history.changed(&id(), at(60), Touch::of(b"alter table t drop d"));
    assert_eq!(history.before_mark(&id(), at(60)), None);
    for harmless in [
        "add column e int",
        "drop index x",
        "engine=innodb",
        "alter column a set default 1",
    ] {
        assert!(Touch::of(harmless.as_bytes()).keeps_meaning(), "{harmless}");
    }
    for grave in [
        "rename table x to t",
        "change a b int",
        "modify a int unsigned",
        "drop a, add a int",
        "convert to character set gbk",
        "create table t like u",
        "add primary key (a)",
    ] {
        assert!(!Touch::of(grave.as_bytes()).keeps_meaning(), "{grave}");
    }
}

#[test]
fn neighbours_that_are_the_same_become_one() {
    let mut history = three_versions();
    for pos in 0..100 {
        history.changed(&id(), at(50 + 2 * pos), Touch::ANYTHING);
        history.learn(&id(), at(51 + 2 * pos), &definition("a c d"), 9);
    }
    assert_eq!(history.versions(&id()).len(), 3);
    assert_eq!(history.versions(&id())[2].since, position(30));
    assert_eq!(history.versions(&id())[2].read_at, 9);
    for pos in 0..100 {
        history.changed(&id(), at(500 + pos), Touch::ANYTHING);
    }
    assert_eq!(
        history.versions(&id()).len(),
        4,
        "statements without rows between them"
    );
}

#[test]
fn versions_are_bounded_in_number_and_bytes() {
    let mut history = three_versions();
    for pos in 0..100 {
        history.changed(&id(), at(50 + pos), Touch::ANYTHING);
        history.learn(&id(), at(50 + pos), &definition(&format!("column{pos}")), 9);
    }
    assert_eq!(history.versions(&id()).len(), MAX_VERSIONS);
    assert_eq!(history.find(&id(), at(1000)), Found::Held(definition("column99")));
    // A place from before the oldest: nearer than what the server has now.
    assert_eq!(
        history.find(&id(), at(12)),
        Found::Later(definition("column84"), 9)
    );
    history.shrink(3 * "column99int".len());
    assert_eq!(history.versions(&id()).len(), 4);
    history.shrink(0);
    assert_eq!(history.versions(&id()).len(), 1, "the newest one stays");
}

#[test]
fn what_the_server_has_purged_is_forgotten() {
    let mut history = three_versions();
    let (start, head) = (position(40), position(1 << 40).file);
    history.begin(beginning(&start, true, &position(25).file, &head));
    assert_eq!(history.versions(&id()).len(), 2);
    assert_eq!(history.find(&id(), at(26)), Found::Held(definition("a c")));
    history.changed(&id(), at(50), Touch::of(b"drop table t"));
    history.begin(beginning(&position(60), true, &position(55).file, &head));
    assert_eq!(history.tables().count(), 0, "a table that is gone for good");
}

#[test]
fn i6_a_start_behind_a_gap_trusts_nothing() {
    let mut skipped = again(&three_versions(), 100, false);
    assert_eq!(skipped.find(&id(), at(100)), Found::Nothing);
    skipped.learn(&id(), at(110), &definition("a e d"), 5);
    let mut back = again(&skipped.snapshot(&position(120)), 35, false);
    assert_eq!(back.find(&id(), at(35)), Found::Held(definition("a c d")));
    assert_eq!(back.find(&id(), at(110)), Found::Held(definition("a e d")));
    // In the gap statements count.
    assert!(back.changed(&id(), at(70), Touch::ANYTHING).is_some());
    assert_eq!(back.find(&id(), at(75)), Found::Later(definition("a e d"), 5));
    // An earlier run that stopped there has read everything up to it.
    let resumed = again(&three_versions(), 100, true);
    assert_eq!(resumed.find(&id(), at(100)), Found::Held(definition("a c d")));
}

#[test]
fn i6_a_binlog_that_began_anew_or_another_server_means_nothing() {
    let begin = |change: &dyn Fn(&mut Beginning<'_>)| {
        let mut history = three_versions();
        let (start, oldest, head) = (position(12), position(4).file, position(40).file);
        let mut beginning = beginning(&start, true, &oldest, &head);
        change(&mut beginning);
        (history.begin(beginning), history.find(&id(), at(12)))
    };
    let kept = (Fate::Kept, Found::Held(definition("a b")));
    let dropped = (Fate::Dropped, Found::Nothing);
    assert_eq!(begin(&|_| {}), kept);
    assert_eq!(begin(&|b| b.same_server = false), dropped);
    let (shorter, other) = (position(39).file, "other.000002:90".parse().unwrap());
    let head = |place: &FilePosition| {
        let mut history = three_versions();
        let start = position(12);
        (
            history.begin(beginning(&start, true, &position(4).file, place)),
            history.find(&id(), at(12)),
        )
    };
    assert_eq!(head(&shorter), dropped);
    assert_eq!(head(&other), dropped);
}

#[test]
fn i6_another_server_goes_on_by_gtid() {
    let set = |last: u64| -> GtidSet {
        format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-{last}")
            .parse()
            .unwrap()
    };
    let sets = [set(1), set(2), set(3)];
    let point = |n: usize| Point {
        gtid_set: Some(&sets[n - 1]),
        ..at(n as u64 * 10)
    };
    let mut history = History::default();
    history.learn(&id(), point(1), &definition("a b"), 1);
    history.changed(&id(), point(2), Touch::ANYTHING);
    history.learn(&id(), point(2), &definition("a c"), 1);
    let history = history.snapshot(&point(2).to_position());
    let there = |n: usize| {
        let mut history = history.clone();
        let start = Position {
            gtid_set: Some(sets[n - 1].clone()),
            ..position(70_000)
        };
        let fate = history.begin(Beginning {
            start: &start,
            resumed: false,
            same_server: false,
            oldest: &position(4).file,
            head: &position(80_000).file,
            executed: Some(&sets[2]),
        });
        (fate, history.find(&id(), at(70_000)))
    };
    assert_eq!(there(1), (Fate::Kept, Found::Held(definition("a b"))));
    assert_eq!(there(2), (Fate::Kept, Found::Held(definition("a c"))));
    assert_eq!(there(3), (Fate::Dropped, Found::Nothing), "a gap");
}

/// One table's life: a statement at some places, a row at all others.
struct Life {
    /// What the table is behind each place.
    truth: Vec<Arc<TableDefinition>>,
    statements: Vec<bool>,
}

impl Life {
    fn random(rng: &mut fastrand::Rng) -> Self {
        let shapes = ["a b", "a c", "b a", "c a"].map(definition);
        let mut now = Arc::clone(&shapes[0]);
        let (mut truth, mut statements) = (Vec::new(), Vec::new());
        for _ in 0..120 {
            let statement = rng.u8(..8) == 0 && statements.iter().filter(|s| **s).count() < MAX_VERSIONS - 2;
            if statement {
                now = Arc::clone(&shapes[rng.usize(..shapes.len())]);
            }
            truth.push(Arc::clone(&now));
            statements.push(statement);
        }
        Self { truth, statements }
    }

    /// Reads from `start` to `end`. Returns the history as it is then. Once something was `skipped`, not knowing is
    /// no mistake; knowing wrong always is.
    fn read(
        &self,
        mut history: History,
        start: usize,
        end: usize,
        seen: &mut [bool],
        skipped: bool,
    ) -> History {
        for place in start..end {
            let here = at(place as u64 + 4);
            if self.statements[place] {
                history.changed(&id(), here, Touch::ANYTHING);
                continue;
            }
            match history.find(&id(), here) {
                Found::Held(held) => assert_eq!(held, self.truth[place], "a row at {place}, {seen:?}"),
                Found::Later(..) | Found::Nothing => {
                    assert!(
                        skipped || !seen[place],
                        "the row at {place} was read before: {history:?}"
                    );
                    // The server is asked while nothing is ahead.
                    history.learn(&id(), here, &self.truth[place], 0);
                }
            }
            seen[place] = true;
        }
        history
    }
}

/// Rows read anew, from any place read before, are read as they were the first time; rows never read before are read
/// right as long as the server is asked in time.
#[test]
fn i6_random_rewinds_restarts_and_gaps_find_what_held() {
    for seed in 0..3000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let life = Life::random(&mut rng);
        let mut seen = vec![false; life.truth.len()];
        let first = rng.usize(..20);
        let (mut history, mut read_to) = (again(&History::default(), first as u64 + 4, false), first);
        let (mut start, mut skipped) = (first, false);
        for _ in 0..6 {
            let end = rng.usize(start..=life.truth.len().min(read_to.max(start) + 30));
            history = life.read(history, start, end, &mut seen, skipped);
            read_to = read_to.max(end);
            let kept = history.snapshot(&position(end as u64 + 4));
            let resumed = if rng.u8(..4) == 0 {
                // Somebody leaves something out.
                start = rng.usize(read_to..=life.truth.len().min(read_to + 10));
                read_to = start;
                skipped = true;
                false
            } else {
                // Anywhere in what was read or left out, or at its end.
                start = rng.usize(first..=read_to);
                // A checkpoint is where reading went on from; where nothing was left out, any place is.
                rng.bool() && !skipped
            };
            history = again(&kept, start as u64 + 4, resumed);
        }
    }
}
