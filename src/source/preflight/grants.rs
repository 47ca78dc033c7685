//! What SHOW GRANTS allows. Pure. The lines may hold password hashes: none of their text is ever shown.

/// The privileges that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Privileges {
    /// Reading the binlog.
    pub(super) replication_slave: bool,
    /// Asking where the binlog stands.
    pub(super) replication_client: bool,
    /// Patterns of databases of which at least one table may be read.
    pub(super) select_on: Vec<String>,
    /// Whether there are roles; they are in the lines only while they are active.
    pub(super) has_roles: bool,
}

impl Privileges {
    /// Reads the lines of SHOW GRANTS of MySQL or MariaDB; what they do not understand grants nothing.
    pub(super) fn parse(lines: &[String]) -> Self {
        let mut all = Self::default();
        for line in lines {
            let Some(grant) = line.strip_prefix("GRANT ") else {
                continue;
            };
            match grant.split_once(" ON ") {
                Some((names, rest)) => {
                    let scope = rest.split(" TO ").next().unwrap_or_default();
                    all.add(names, scope);
                }
                None => all.has_roles = true,
            }
        }
        all
    }

    fn add(&mut self, names: &str, scope: &str) {
        let has = |wanted: &str| {
            names
                .split(',')
                .map(str::trim)
                .any(|n| n == wanted || n == "ALL PRIVILEGES")
        };
        let global = scope == "*.*";
        if global {
            self.replication_slave |= has("REPLICATION SLAVE");
            self.replication_client |= has("REPLICATION CLIENT") || has("BINLOG MONITOR") || has("SUPER");
        }
        // A grant on columns reads `SELECT (a, b)`.
        let select = has("SELECT") || names.contains("SELECT (");
        if select && (global || scope.starts_with('`')) {
            self.select_on
                .push(if global { "%".to_owned() } else { database(scope) });
        }
    }

    /// Whether something in the database may be read.
    pub(super) fn may_select(&self, db: &str) -> bool {
        self.select_on.iter().any(|pattern| like(pattern, db))
    }
}

/// The database of a quoted scope: `` `shop\_1`.* `` gives `shop\_1`.
fn database(scope: &str) -> String {
    let mut name = String::new();
    let mut chars = scope.chars().skip(1).peekable();
    while let Some(c) = chars.next() {
        if c == '`' {
            if chars.peek() != Some(&'`') {
                break;
            }
            chars.next();
        }
        name.push(c);
    }
    name
}

/// SQL's LIKE with `\` as escape, as grants on databases use it.
fn like(pattern: &str, text: &str) -> bool {
    fn go(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|n| text.get(n..).is_some_and(|tail| go(rest, tail))),
            ['\\', literal, rest @ ..] | [literal, rest @ ..] if text.first() == Some(literal) => {
                text.get(1..).is_some_and(|tail| go(rest, tail))
            }
            ['_', rest @ ..] => text.get(1..).is_some_and(|tail| go(rest, tail)),
            _ => false,
        }
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    go(&pattern, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Privileges {
        Privileges::parse(&lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn privileges_are_read_from_both_servers_words() {
        let both = |p: &Privileges| (p.replication_slave, p.replication_client);
        for (line, expected) in [
            (
                "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION",
                (true, true),
            ),
            (
                "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `c`@`%`",
                (true, true),
            ),
            (
                "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `c`@`%` IDENTIFIED BY PASSWORD '*E'",
                (true, true),
            ),
            (
                "GRANT REPLICATION SLAVE ADMIN, REPLICATION_SLAVE_ADMIN ON *.* TO `c`@`%`",
                (false, false),
            ),
            ("GRANT SUPER ON *.* TO `c`@`%`", (false, true)),
            ("GRANT ALL PRIVILEGES ON `shop`.* TO `c`@`%`", (false, false)),
            ("GRANT USAGE ON *.* TO `c`@`%`", (false, false)),
            ("REVOKE REPLICATION SLAVE ON *.* FROM `c`@`%`", (false, false)),
        ] {
            assert_eq!(both(&of(&[line])), expected, "{line}");
        }
        assert!(of(&["GRANT `reader`@`%` TO `c`@`%`"]).has_roles);
        assert!(of(&["GRANT `r` TO `c`@`%`"]).has_roles);
    }

    #[test]
    fn select_is_matched_by_scope() {
        for (line, db, expected) in [
            ("GRANT SELECT ON *.* TO `c`@`%`", "shop", true),
            ("GRANT SELECT ON `shop`.* TO `c`@`%`", "shop", true),
            ("GRANT SELECT ON `shop`.* TO `c`@`%`", "shops", false),
            ("GRANT SELECT ON `shop\\_1`.* TO `c`@`%`", "shop_1", true),
            ("GRANT SELECT ON `shop\\_1`.* TO `c`@`%`", "shopx1", false),
            ("GRANT SELECT ON `shop_1`.* TO `c`@`%`", "shopx1", true),
            ("GRANT SELECT ON `sh%`.* TO `c`@`%`", "shop", true),
            ("GRANT SELECT ON `a``b`.* TO `c`@`%`", "a`b", true),
            (
                "GRANT SELECT (`id`, `name`) ON `shop`.`t` TO `c`@`%`",
                "shop",
                true,
            ),
            ("GRANT INSERT ON `shop`.* TO `c`@`%`", "shop", false),
            ("GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `c`@`%`", "shop", false),
        ] {
            assert_eq!(of(&[line]).may_select(db), expected, "{line} / {db}");
        }
    }
}
