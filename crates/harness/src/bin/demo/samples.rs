//! Three records of the topic, as they are, broken into lines.

use anyhow::{Context, Result};
use datahub_emulator::{Emulator, StoredRecord};

/// Prints a short insert, update and delete.
pub(crate) fn print(emulator: &Emulator, project: &str, topic: &str) -> Result<()> {
    println!("\nthree records");
    for operation in ["c", "u", "d"] {
        let mark = format!("\"op\":\"{operation}\"");
        let of_kind = emulator
            .records(project, topic)?
            .filter(|record| text(record).is_some_and(|t| t.contains(&mark)));
        let record = of_kind.min_by_key(|record| text(record).map_or(0, str::len));
        let record = record.with_context(|| format!("the topic has no record with {mark}"))?;
        let id = record.attribute("cdc.id").unwrap_or_default();
        println!(
            "  shard {}, sequence {}, cdc.id {id}",
            record.shard, record.sequence
        );
        for line in lines(text(&record).unwrap_or_default()) {
            println!("    {line}");
        }
    }
    Ok(())
}

fn text(record: &StoredRecord) -> Option<&str> {
    std::str::from_utf8(record.blob()?).ok()
}

/// A JSON object in lines, one for each of the parts that matter; otherwise unchanged.
fn lines(json: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (at, letter) in json.char_indices() {
        if let Some(line) = lines.last_mut() {
            line.push(letter);
        }
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            // The short ones share a line.
            ',' if !quoted && depth == 1 && !json.split_at(at + 1).1.starts_with("\"ts_ms\"") => {
                lines.push(" ".to_owned());
            }
            _ => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn only_the_outermost_commas_break_lines() {
        let json =
            r#"{"before":null,"after":{"a":1,"b":"x\",{"},"op":"c","ts_ms":1,"transaction":{"id":"y"}}"#;
        let expected = [
            r#"{"before":null,"#,
            r#" "after":{"a":1,"b":"x\",{"},"#,
            r#" "op":"c","ts_ms":1,"#,
            r#" "transaction":{"id":"y"}}"#,
        ];
        assert_eq!(lines(json), expected);
    }
}
