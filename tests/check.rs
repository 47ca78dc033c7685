//! `cdc-collector check` and `explain`: each misconfiguration has its own code, and its remedy, followed literally, ends it.
#![cfg(test)]

mod authority;
mod case;
mod commands;
mod database;
mod local;
mod pages;
mod service;
mod settings;

use std::collections::BTreeSet;

/// So many misconfigurations are told apart at least.
const LEAST: usize = 40;

/// All groups at once: their servers wait more than they work.
#[tokio::test(flavor = "multi_thread")]
async fn each_misconfiguration_has_its_own_code_and_its_remedy_ends_it() {
    let (reached, spoiled, mysql, restarted, encrypted, oceanbase, topics, machine) = tokio::join!(
        database::accounts_and_tables(),
        settings::mariadb(),
        settings::mysql(),
        settings::restarted(),
        database::encryption(),
        settings::oceanbase(),
        service::datahub(),
        local::this_machine(),
    );
    let all = [
        reached, spoiled, mysql, restarted, encrypted, oceanbase, topics, machine,
    ]
    .concat();
    let distinct: BTreeSet<&str> = all.iter().copied().collect();
    println!("{} misconfigurations: {}", distinct.len(), all.join(" "));
    assert!(distinct.len() >= LEAST, "{} misconfigurations", distinct.len());
    assert_eq!(distinct.len(), all.len(), "two of them have one code: {all:?}");
}
