//! The options of a table: of consequence is its character set alone.

use super::cursor::Cursor;

/// Options with one value that say nothing of columns.
const INDIFFERENT: [&str; 24] = [
    "engine",
    "auto_increment",
    "avg_row_length",
    "checksum",
    "comment",
    "delay_key_write",
    "insert_method",
    "key_block_size",
    "max_rows",
    "min_rows",
    "pack_keys",
    "row_format",
    "stats_auto_recalc",
    "stats_persistent",
    "stats_sample_pages",
    "tablespace",
    "compression",
    "encryption",
    "page_checksum",
    "transactional",
    "algorithm",
    "lock",
    "page_compressed",
    "autoextend_size",
];

/// Reads options up to the end; the character set if they name one. `None` if one is not known.
pub(super) fn charset(cursor: &mut Cursor<'_>) -> Option<Option<String>> {
    let mut charset = None;
    while let Some(word) = cursor.peek_word() {
        if word == "partition" {
            cursor.skip_rest()?;
            break;
        }
        if cursor.take_all(&["start", "transaction"]) {
            break;
        }
        if let Some(named) = named_charset(cursor)? {
            charset = Some(named);
        } else {
            INDIFFERENT.contains(&word.as_str()).then_some(())?;
            cursor.word()?;
            cursor.take_symbol('=');
            cursor.any()?;
        }
        // Between the options of CREATE TABLE there may be one.
        cursor.take_symbol(',');
    }
    Some(charset)
}

/// `[DEFAULT] CHARACTER SET [=] name` or `COLLATE [=] name` if that is next; the outer `None` if it cannot be read.
pub(super) fn named_charset(cursor: &mut Cursor<'_>) -> Option<Option<String>> {
    let defaults = cursor.take("default");
    let is_set = cursor.take_all(&["character", "set"]) || cursor.take("charset");
    if !is_set && !cursor.take("collate") {
        // `DEFAULT` in front of anything else is not an option.
        return (!defaults).then_some(None);
    }
    cursor.take_symbol('=');
    let name = cursor.name()?.to_ascii_lowercase();
    let charset = if is_set {
        name
    } else {
        charset_of_collation(&name)?
    };
    // Text in these is another type, or whatever the session has.
    (!matches!(charset.as_str(), "binary" | "default")).then_some(Some(charset))
}

/// A collation is named after its character set; `None` for those of MariaDB that go with several.
pub fn charset_of_collation(collation: &str) -> Option<String> {
    let charset = collation.split('_').next()?;
    (!charset.starts_with("uca")).then(|| charset.to_owned())
}
