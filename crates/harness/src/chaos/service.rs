//! DataHub misbehaves: refusals, broken answers, lost answers, and one that comes true too late.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use datahub_emulator::{Action, CallKind, Matcher, Rule, When};

use super::{MARIADB, Outcome, Promise, Scenario, Terms};
use crate::servers::Options;
use crate::stage::{ARRIVED, Stage};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "throttled",
        proves: "a storm of 429 delays and drops nothing.",
        steps: "4 shards under load; 8 of 10 puts and 3 of 10 other calls are answered by 429 LimitExceeded.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| {
            let limited = || error("LimitExceeded", 429, When::Before);
            let rules = [on_puts(0.8, limited()), on_all(0.3, limited())];
            Box::pin(misbehaving(terms, rules.into(), Promise::Exact))
        },
    },
    Scenario {
        name: "errors-500",
        proves: "after a 500 the shard is asked whether the put was stored, and only what is missing goes again.",
        steps: "4 shards under load; 10 % of the puts are answered by 500 without being applied, 10 % after being applied, \
                5 % of all calls by 500 or 503.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| {
            let internal = |status, when| error("InternalServerError", status, when);
            let rules = [
                on_puts(0.1, internal(500, When::Before)),
                on_puts(0.1, internal(500, When::After)),
                on_all(0.03, internal(500, When::Before)),
                on_all(0.02, internal(503, When::Before)),
            ];
            Box::pin(misbehaving(terms, rules.into(), Promise::Exact))
        },
    },
    Scenario {
        name: "gateway-html",
        proves: "a gateway's page is an unknown outcome, not a refusal and not a success.",
        steps: "4 shards under load; 10 % of the puts are answered by 502 and a page of HTML without being applied, 10 % \
                after being applied, 5 % of the other calls as well.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| {
            let page = |when| Action::Html {
                status: Some(502),
                when,
            };
            let rules = [
                on_puts(0.1, page(When::Before)),
                on_puts(0.1, page(When::After)),
                on_all(0.05, page(When::Before)),
            ];
            Box::pin(misbehaving(terms, rules.into(), Promise::Exact))
        },
    },
    Scenario {
        name: "reset-before",
        proves: "a connection that is reset before a put was applied costs a second try and nothing else.",
        steps: "4 shards under load; 20 % of the puts end in an RST and are not applied.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| {
            let rules = [on_puts(0.2, Action::Reset { when: When::Before })];
            Box::pin(misbehaving(terms, rules.into(), Promise::Exact))
        },
    },
    Scenario {
        name: "reset-after",
        proves: "a connection that is reset after a put was applied repeats nothing.",
        steps: "4 shards under load; 20 % of the puts are applied and end in an RST.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| {
            let rules = [on_puts(0.2, Action::Reset { when: When::After })];
            Box::pin(misbehaving(terms, rules.into(), Promise::Exact))
        },
    },
    Scenario {
        name: "answer-lost",
        proves: "a put that was applied and whose answer never came, or came in half, repeats nothing.",
        steps: "4 shards under load; 10 % of the puts are applied and closed without an answer, 5 % with half of one, 1 % \
                are never answered.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| {
            let rules = [
                on_puts(0.01, Action::Hang { when: When::After }),
                on_puts(0.1, Action::Drop { when: When::After }),
                on_puts(0.05, Action::TruncatedBody),
            ];
            Box::pin(misbehaving(terms, rules.into(), Promise::Exact))
        },
    },
    Scenario {
        name: "wrong-answers",
        proves: "an answer that cannot be read is never taken for one that can.",
        steps: "4 shards under load; of all calls 10 % are answered by half a JSON object, 5 % by less than announced, 5 % \
                with a wrong checksum; 5 % of the puts end in a reset, so that shards are read back.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| {
            let rules = [
                on_puts(0.05, Action::Reset { when: When::After }),
                on_all(0.1, Action::WrongJson),
                on_all(0.05, Action::TruncatedBody),
                on_all(0.05, Action::WrongCrc),
            ];
            Box::pin(misbehaving(terms, rules.into(), Promise::Exact))
        },
    },
    Scenario {
        name: "slow-answers",
        proves: "answers that come in drops end at the time limit, and what they leave open is settled.",
        steps: "4 shards under load; 30 % of all calls are answered byte by byte, ten a second, 5 % of the puts after 0.3 \
                to 6 s, applied before or after; the limit for a request is 5 s.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| {
            let delay = |ms, when| Action::Delay { ms, when };
            let rules = [
                on_puts(0.01, delay(6_000, When::After)),
                on_puts(0.02, delay(300, When::Before)),
                on_puts(0.02, delay(600, When::After)),
                on_all(
                    0.3,
                    Action::Slow {
                        bytes: 1,
                        tick_ms: 100,
                    },
                ),
            ];
            Box::pin(misbehaving(terms, rules.into(), Promise::Exact))
        },
    },
    Scenario {
        name: "late-apply",
        proves: "the one fault that no client can prevent loses nothing, and each repetition has the cdc.id that it had.",
        steps: "4 shards under load; 10 % of the puts are dropped and applied 0.2 to 4 s later, when the collector may \
                have looked for them, not found them, and sent them again.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| {
            let late = |ms| on_puts(0.025, Action::LateApply { ms });
            let rules = [200, 1_200, 2_000, 4_000].map(late);
            Box::pin(misbehaving(terms, rules.into(), Promise::Recognisable))
        },
    },
    Scenario {
        name: "partial-failures",
        proves: "where a service knows only puts over many shards, and stores some of their records, the others follow; \
                 nothing is lost, nothing repeated. Order is the service's there, and is counted.",
        steps: "4 shards under load; puts by shard are answered as by an old service, of the others 2 in 10 have \
                three records refused by LimitExceeded or ShardNotReady.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| {
            let old_service = |shard: u32| {
                let mut rule = Rule::on_put(Action::Error {
                    code: "InvalidParameter".to_owned(),
                    status: Some(400),
                    message: Some("Parse body failed, Offset: 0".to_owned()),
                    when: When::Before,
                });
                rule.matcher.shard = Some(shard.to_string());
                rule
            };
            let some = |code: &str| Action::FailRecords {
                indexes: vec![0, 2, 5],
                contains: None,
                code: code.to_owned(),
                message: None,
            };
            let mut rules: Vec<Rule> = (0..SHARDS).map(old_service).collect();
            rules.push(on_puts(0.1, some("LimitExceeded")));
            rules.push(on_puts(0.1, some("ShardNotReady")));
            Box::pin(misbehaving(terms, rules, Promise::Complete))
        },
    },
];

const SHARDS: u32 = 4;

/// The faults that accompany kills: 5 % of the puts applied and reset, 5 % applied without an answer, and of all
/// calls 5 % throttled and 5 % broken.
pub fn fault_mix(seed: u64) -> Vec<Rule> {
    let rules = vec![
        on_puts(0.05, Action::Reset { when: When::After }),
        on_puts(0.05, Action::Drop { when: When::After }),
        on_all(0.05, error("LimitExceeded", 429, When::Before)),
        on_all(0.05, error("InternalServerError", 500, When::Before)),
    ];
    seeded(rules, seed)
}

fn error(code: &str, status: u16, when: When) -> Action {
    Action::Error {
        code: code.to_owned(),
        status: Some(status),
        message: None,
        when,
    }
}

fn on_puts(probability: f64, action: Action) -> Rule {
    let mut rule = on_all(probability, action);
    rule.matcher.call = Some(CallKind::Put);
    rule
}

fn on_all(probability: f64, action: Action) -> Rule {
    Rule {
        matcher: Matcher {
            probability: Some(probability),
            ..Matcher::default()
        },
        count: None,
        for_ms: None,
        action,
    }
}

/// Each rule draws numbers of its own, all of them from one seed.
fn seeded(mut rules: Vec<Rule>, seed: u64) -> Vec<Rule> {
    for (rule, number) in rules.iter_mut().zip(1..) {
        rule.matcher.seed = seed.wrapping_add(number);
    }
    rules
}

/// Lets the service misbehave for as long as the terms say.
async fn misbehaving(terms: Terms, rules: Vec<Rule>, promise: Promise) -> Result<Outcome> {
    let mut stage = Stage::new(
        &terms.binary,
        terms.server,
        Options::default(),
        terms.plan(),
        SHARDS,
    )
    .await?;
    stage.settings = stage
        .settings
        .env("RETRY_BACKOFF_MS", "20")
        .env("RETRY_BACKOFF_MAX_MS", "200")
        .env("DATAHUB_TIMEOUT_SECONDS", "5");
    let mut collector = stage.start().await?;
    for rule in seeded(rules, terms.seed) {
        stage.emulator.add_fault(rule);
    }
    let weather = async {
        let begun = Instant::now();
        let faults = || stage.emulator.stats().faults;
        while faults() == 0 || (begun.elapsed() < terms.time && faults() < terms.blows) {
            ensure!(begun.elapsed() < terms.time + ARRIVED, "no fault struck");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    };
    Box::pin(stage.workload.during(weather)).await?;
    let faults = stage.emulator.stats().faults;
    stage.emulator.clear_faults();
    stage.caught_up(&mut collector).await?;
    while stage.emulator.outstanding() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let report = stage.settled(&mut collector).await?;
    let note = match report.out_of_order {
        0 => String::new(),
        disorder => format!("{disorder} records of a key behind a later one"),
    };
    Ok(Outcome::exact(faults, report, note).promising(promise))
}
