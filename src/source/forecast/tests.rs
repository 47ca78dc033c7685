use super::*;

const MIB: f64 = 1_048_576.0;

fn place(file: &str, pos: u64) -> FilePosition {
    FilePosition {
        file: file.to_owned(),
        pos,
    }
}

fn list(files: &[(&str, u64)]) -> Vec<(String, u64)> {
    files
        .iter()
        .map(|(name, size)| ((*name).to_owned(), *size))
        .collect()
}

/// Files of 1000 bytes, of which each took 100 s; the fourth is half full at moment 1350.
fn four() -> (Vec<(String, u64)>, BTreeMap<String, u64>) {
    let files = list(&[("b.1", 1000), ("b.2", 1000), ("b.3", 1000), ("b.4", 500)]);
    let begun = [("b.1", 1000), ("b.2", 1100), ("b.3", 1200), ("b.4", 1300)];
    (files, begun.map(|(name, at)| (name.to_owned(), at)).into())
}

#[test]
fn the_first_file_that_goes_before_it_is_left_decides() {
    let (files, all_begun) = four();
    let some_begun = BTreeMap::from([("b.1".to_owned(), 1000)]);
    let nothing = BTreeMap::new();
    let cases = [
        // Standing still: the file ended at 1100 and is kept for 400 s.
        (
            "standing",
            &all_begun,
            ("b.1", 0),
            (10.0, 0.0),
            Some(400.0),
            None,
            Some(150.0),
        ),
        (
            "in the middle file",
            &all_begun,
            ("b.2", 10),
            (10.0, 0.0),
            Some(400.0),
            None,
            Some(250.0),
        ),
        // Unknown ends lie on the line between what is known: the same.
        (
            "interpolated",
            &some_begun,
            ("b.1", 0),
            (10.0, 0.0),
            Some(400.0),
            None,
            Some(150.0),
        ),
        // Nothing but the pace tells when the files ended.
        (
            "by growth",
            &nothing,
            ("b.1", 0),
            (10.0, 0.0),
            Some(400.0),
            None,
            Some(150.0),
        ),
        (
            "nothing tells",
            &nothing,
            ("b.1", 0),
            (0.0, 0.0),
            Some(400.0),
            None,
            None,
        ),
        // It leaves the first file after 100 s and the second at 200 s, before they go, and catches up at last.
        (
            "catches up",
            &all_begun,
            ("b.1", 0),
            (5.0, 10.0),
            Some(400.0),
            None,
            None,
        ),
        // It leaves the first file in time (at 125 s of 150), and is caught in the third: 375 s against 350 s.
        (
            "caught on the way",
            &all_begun,
            ("b.1", 0),
            (9.0, 8.0),
            Some(400.0),
            None,
            Some(350.0),
        ),
        (
            "gone already",
            &all_begun,
            ("b.1", 0),
            (10.0, 0.0),
            Some(10.0),
            None,
            Some(0.0),
        ),
        (
            "its file is not listed",
            &all_begun,
            ("b.0", 7),
            (10.0, 10.0),
            Some(400.0),
            None,
            Some(0.0),
        ),
        (
            "newer than the list",
            &all_begun,
            ("b.5", 7),
            (10.0, 10.0),
            Some(400.0),
            None,
            None,
        ),
        (
            "kept for ever",
            &all_begun,
            ("b.1", 0),
            (10.0, 0.0),
            None,
            None,
            None,
        ),
        // In the newest file: it is full at 50 s, and kept 400 s from then on.
        (
            "at the end, standing",
            &all_begun,
            ("b.4", 500),
            (10.0, 0.0),
            Some(400.0),
            None,
            Some(450.0),
        ),
        (
            "at the end, as fast",
            &all_begun,
            ("b.4", 500),
            (10.0, 10.0),
            Some(400.0),
            None,
            None,
        ),
        (
            "at the end, idle",
            &all_begun,
            ("b.4", 500),
            (0.0, 0.0),
            Some(400.0),
            None,
            None,
        ),
        // 3500 bytes lie from the first file on; 500 more at 10 a second.
        (
            "by size",
            &all_begun,
            ("b.1", 0),
            (10.0, 0.0),
            None,
            Some(4000),
            Some(50.0),
        ),
        (
            "by size, slower",
            &all_begun,
            ("b.1", 0),
            (10.0, 5.0),
            None,
            Some(4000),
            Some(100.0),
        ),
        (
            "by size, faster",
            &all_begun,
            ("b.1", 0),
            (10.0, 11.0),
            None,
            Some(4000),
            None,
        ),
        (
            "by both",
            &all_begun,
            ("b.1", 0),
            (10.0, 0.0),
            Some(400.0),
            Some(4000),
            Some(50.0),
        ),
    ];
    for (name, begun, (file, pos), (growth, own), keeps_seconds, keeps_bytes, expected) in cases {
        let binlog = Binlog {
            now: 1350.0,
            files: &files,
            begun,
            read: None,
            durable: &place(file, pos),
            parked: None,
            keeps_seconds,
            keeps_bytes,
        };
        let found = eta(&binlog, Paces { growth, own });
        let agree = match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() < 0.01,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        assert!(agree, "{name}: {found:?} instead of {expected:?}");
    }
}

#[test]
fn what_was_read_last_tells_when_its_place_was_written() {
    let (files, _) = four();
    let begun = BTreeMap::from([("b.1".to_owned(), 1000)]);
    let durable = place("b.1", 900);
    let at = place("b.2", 0);
    let binlog = Binlog {
        now: 1350.0,
        files: &files,
        begun: &begun,
        // The first file took 200 s.
        read: Some((&at, 1200.0)),
        durable: &durable,
        parked: None,
        keeps_seconds: Some(400.0),
        keeps_bytes: None,
    };
    assert_eq!(eta(&binlog, Paces::default()), Some(250.0));
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes and times that were made up here are neither negative nor large"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

/// A server that writes and purges, and a reader.
struct Race {
    file_bytes: f64,
    growth: f64,
    own: f64,
    keeps_seconds: Option<f64>,
    keeps_bytes: Option<u64>,
    /// How far the reader is behind at the beginning, seconds of writing.
    behind: f64,
}

impl Race {
    fn size(&self) -> u64 {
        whole(self.file_bytes)
    }

    fn name(number: u64) -> String {
        format!("binlog.{number:06}")
    }

    /// Runs it second by second; returns each forecast with its moment, and when the reader's file was purged.
    fn run(&self, longest: u64) -> (Vec<(f64, Option<f64>)>, Option<f64>) {
        let (mut forecast, mut told) = (Forecast::default(), Vec::new());
        let epoch = 1_000_000.0;
        let mut oldest = 0_u64;
        for second in 0..longest {
            let now = epoch + second as f64;
            let head = (self.behind + second as f64) * self.growth;
            let reader = second as f64 * self.own;
            if reader >= head {
                return (told, None);
            }
            let newest = whole(head / self.file_bytes);
            // When the byte at this place was written.
            let written = |place: f64| epoch - self.behind + place / self.growth;
            while oldest < newest {
                let old = self
                    .keeps_seconds
                    .is_some_and(|keeps| written((oldest + 1) as f64 * self.file_bytes) + keeps <= now);
                let large = self
                    .keeps_bytes
                    .is_some_and(|keeps| head - oldest as f64 * self.file_bytes > keeps as f64);
                if !old && !large {
                    break;
                }
                oldest += 1;
            }
            let at = whole(reader / self.file_bytes);
            if at < oldest {
                return (told, Some(now));
            }
            if !second.is_multiple_of(10) {
                continue;
            }
            let files: Vec<(String, u64)> = (oldest..=newest)
                .map(|number| {
                    let size = if number == newest {
                        whole(head - number as f64 * self.file_bytes)
                    } else {
                        self.size()
                    };
                    (Self::name(number), size)
                })
                .collect();
            let durable = place(&Self::name(at), whole(reader - at as f64 * self.file_bytes));
            // Only the file that is being read is known by its first event.
            let begun = BTreeMap::from([(Self::name(at), whole(written(at as f64 * self.file_bytes)))]);
            let told_now = forecast.of(&Binlog {
                now,
                files: &files,
                begun: &begun,
                read: Some((&durable, written(reader))),
                durable: &durable,
                parked: None,
                keeps_seconds: self.keeps_seconds,
                keeps_bytes: self.keeps_bytes,
            });
            told.push((now, told_now));
        }
        (told, None)
    }
}

#[test]
fn in_a_race_the_forecast_is_right_within_a_fifth() {
    let race = |growth, own, keeps_seconds, keeps_bytes, behind| Race {
        file_bytes: 64.0 * MIB,
        growth: growth * MIB,
        own: own * MIB,
        keeps_seconds,
        keeps_bytes,
        behind,
    };
    let gib = 1_u64 << 30;
    let races = [
        ("standing still", race(1.0, 0.0, Some(7_200.0), None, 1_000.0)),
        ("half as fast", race(1.0, 0.5, Some(7_200.0), None, 1_000.0)),
        ("nearly as fast", race(1.0, 0.8, Some(7_200.0), None, 3_600.0)),
        ("a busy server", race(20.0, 12.0, Some(3_600.0), None, 600.0)),
        (
            "by size, standing still",
            race(1.0, 0.0, None, Some(4 * gib), 600.0),
        ),
        ("by size, slower", race(2.0, 1.0, None, Some(8 * gib), 600.0)),
        (
            "by size before age",
            race(2.0, 0.5, Some(86_400.0), Some(8 * gib), 600.0),
        ),
    ];
    for (name, race) in races {
        let (told, purged) = race.run(100_000);
        let purged = purged.unwrap_or_else(|| panic!("{name}: nothing was purged"));
        // Warm after two samples; near the end it is a matter of single files.
        let file_takes = race.file_bytes / (race.growth - race.own);
        let judged = told
            .iter()
            .skip(2)
            .filter(|(now, _)| purged - now > 8.0 * file_takes);
        let mut worst: f64 = 0.0;
        let mut count = 0;
        for (now, eta) in judged {
            let truly = purged - now;
            let eta = eta.unwrap_or_else(|| panic!("{name}: no forecast {truly} s before the purge"));
            worst = worst.max((eta - truly).abs() / truly);
            count += 1;
        }
        println!("{name}: {count} forecasts, at most {:.1} % wrong", worst * 100.0);
        assert!(count > 20 && worst <= 0.2, "{name}: {worst}");
    }
}

#[test]
fn a_reader_that_catches_up_is_not_warned() {
    let race = Race {
        file_bytes: 64.0 * MIB,
        growth: MIB,
        own: 3.0 * MIB,
        keeps_seconds: Some(7_200.0),
        keeps_bytes: None,
        behind: 3_600.0,
    };
    let (told, purged) = race.run(100_000);
    assert_eq!(purged, None);
    assert!(told.len() > 100);
    let warned: Vec<_> = told.iter().skip(2).filter(|(_, eta)| eta.is_some()).collect();
    assert!(warned.is_empty(), "{warned:?}");
}

#[test]
fn a_reader_that_stops_is_noticed_within_minutes() {
    let mut forecast = Forecast::default();
    let begun = BTreeMap::from([("b.1".to_owned(), 0)]);
    let mut eta = None;
    // A file a minute, 1000 bytes a second; it stops at the beginning of the sixth.
    for second in (5..=600_u64).step_by(5) {
        let files: Vec<(String, u64)> = (0..=second / 60)
            .map(|number| (format!("b.{}", number + 1), (second - number * 60).min(60) * 1000))
            .collect();
        let own = second.min(300);
        eta = forecast.of(&Binlog {
            now: second as f64,
            files: &files,
            begun: &begun,
            read: None,
            durable: &place(&format!("b.{}", own / 60 + 1), own % 60 * 1000),
            parked: None,
            keeps_seconds: Some(3_600.0),
            keeps_bytes: None,
        });
        if second <= 300 {
            assert_eq!(eta, None, "as fast as the server after {second} s");
        }
    }
    // Its file ended after 360 s.
    let expected = 360.0 + 3_600.0 - 600.0;
    assert!(eta.is_some_and(|eta| (eta - expected).abs() < 1.0), "{eta:?}");
}

#[test]
fn what_a_parked_table_waits_for_does_not_move_on() {
    let (files, begun) = four();
    let at = |durable: &FilePosition, parked: Option<&FilePosition>, (growth, own)| {
        let binlog = Binlog {
            now: 1350.0,
            files: &files,
            begun: &begun,
            read: None,
            durable,
            parked,
            keeps_seconds: Some(400.0),
            keeps_bytes: None,
        };
        eta(&binlog, Paces { growth, own })
    };
    let (oldest, second, newest) = (place("b.1", 0), place("b.2", 10), place("b.4", 500));
    // All else is read as fast as it is written, and alone would never be purged.
    assert_eq!(at(&newest, None, (10.0, 10.0)), None);
    assert_eq!(at(&newest, Some(&second), (10.0, 10.0)), Some(250.0));
    assert_eq!(at(&newest, Some(&newest), (10.0, 10.0)), Some(450.0));
    // The durable position catches up; the parked table in the same file does not.
    assert_eq!(at(&oldest, None, (5.0, 10.0)), None);
    assert_eq!(at(&oldest, Some(&oldest), (5.0, 10.0)), Some(150.0));
    // The durable position is what goes first.
    assert_eq!(at(&oldest, Some(&second), (10.0, 0.0)), Some(150.0));
    // It is gone already.
    assert_eq!(at(&newest, Some(&place("b.0", 7)), (10.0, 10.0)), Some(0.0));
}

#[test]
fn the_forecast_tells_of_a_parked_table_from_its_second_look_on() {
    let (mut forecast, begun) = (Forecast::default(), BTreeMap::from([("b.1".to_owned(), 0)]));
    let mut told = Vec::new();
    // A file in 100 s; the reader is always at the end, and a table waits at the beginning of the second.
    for second in (200..=300_u64).step_by(10) {
        let mut files = list(&[("b.1", 1000), ("b.2", 1000)]);
        files.push(("b.3".to_owned(), (second - 200) * 10));
        let (durable, parked) = (place("b.3", (second - 200) * 10), place("b.2", 0));
        told.push(forecast.of(&Binlog {
            now: second as f64,
            files: &files,
            begun: &begun,
            read: None,
            durable: &durable,
            parked: (second < 300).then_some(&parked),
            keeps_seconds: Some(1_000.0),
            keeps_bytes: None,
        }));
    }
    let (first, rest) = told.split_first().expect("forecasts");
    assert_eq!(*first, None);
    let (read, waiting) = rest.split_last().expect("forecasts");
    for (eta, now) in waiting.iter().zip((210..).step_by(10)) {
        let expected = 200.0 + 1_000.0 - f64::from(now);
        assert!(
            eta.is_some_and(|eta| (eta - expected).abs() < 1.0),
            "{eta:?} at {now}"
        );
    }
    assert_eq!(*read, None, "it waits no longer");
}
