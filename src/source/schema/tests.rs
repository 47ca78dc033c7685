use super::*;

fn map(columns: &[(u8, u16)], names: Option<&[&str]>) -> TableMap {
    // Through the wire form: a table map has private parts.
    let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0];
    body.extend_from_slice(b"\x04shop\0\x01t\0");
    body.push(u8::try_from(columns.len()).unwrap());
    let mut metadata = Vec::new();
    for (kind, meta) in columns {
        let [high, low] = meta.to_be_bytes();
        match kind {
            247 | 248 => {
                body.push(254);
                metadata.extend([*kind, low]);
            }
            254 | 246 => {
                body.push(*kind);
                metadata.extend(if *kind == 254 { [254, low] } else { [high, low] });
            }
            15 => {
                body.push(15);
                metadata.extend([low, high]);
            }
            17 | 18 | 19 | 252 | 4 | 5 | 245 => {
                body.push(*kind);
                metadata.push(low);
            }
            _ => body.push(*kind),
        }
    }
    body.push(u8::try_from(metadata.len()).unwrap());
    body.extend(metadata);
    body.extend(vec![0xff; columns.len().div_ceil(8)]);
    if let Some(names) = names {
        let mut field = Vec::new();
        for name in names {
            field.push(u8::try_from(name.len()).unwrap());
            field.extend_from_slice(name.as_bytes());
        }
        body.push(4);
        body.push(u8::try_from(field.len()).unwrap());
        body.extend(field);
    }
    TableMap::parse(&body).unwrap()
}

fn definition(columns: &[(&str, &str)], key: &[&str]) -> TableDefinition {
    TableDefinition {
        charset: None,
        columns: columns
            .iter()
            .map(|(name, column_type)| ColumnDefinition {
                name: (*name).to_owned(),
                column_type: (*column_type).to_owned(),
                charset: column_type.contains("char").then(|| "utf8mb4".to_owned()),
            })
            .collect(),
        primary_key: key.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn fits(column_type: &str, wire: (u8, u16)) -> bool {
    build(&definition(&[("a", column_type)], &[]), &map(&[wire], None)).is_ok()
}

#[test]
fn a_schema_has_names_kinds_and_the_key_in_its_order() {
    let definition = definition(
        &[("a", "int(11)"), ("b", "varchar(10)"), ("c", "bigint unsigned")],
        &["c", "a"],
    );
    let schema = build(&definition, &map(&[(3, 0), (15, 40), (8, 0)], None)).unwrap();
    assert_eq!(schema.primary_key, [2, 0]);
    assert_eq!(schema.columns[2].name, "c");
    assert_eq!(
        schema.columns[2].kind,
        ColumnKind::Integer {
            bytes: 8,
            unsigned: true
        }
    );
    assert_eq!((schema.columns[1].wire, schema.columns[1].meta), (15, 40));
}

#[test]
fn i6_what_decides_how_bytes_read_has_to_agree() {
    let agree = [
        ("int(11)", (3, 0)),
        ("decimal(10,2)", (246, 10 << 8 | 2)),
        ("datetime(3)", (18, 3)),
        ("enum('a','b')", (247, 1)),
        ("set('a','b','c','d','e','f','g','h','i')", (248, 2)),
        ("binary(4)", (254, 4)),
        ("varchar(20)", (15, 40)),
        // Widened since: the row's own prefix is read.
        ("mediumtext", (252, 2)),
        ("float", (5, 8)),
        ("json", (245, 4)),
    ];
    for (column_type, wire) in agree {
        assert!(fits(column_type, wire), "{column_type} {wire:?}");
    }
    let contradict = [
        ("int(11)", (8, 0)),
        ("decimal(10,2)", (246, 10 << 8 | 3)),
        ("datetime(3)", (18, 0)),
        ("timestamp", (18, 0)),
        ("enum('a','b')", (248, 1)),
        ("enum('a','b')", (247, 2)),
        ("set('a')", (248, 2)),
        ("binary(4)", (254, 5)),
        ("varchar(20)", (252, 2)),
        ("uuid", (254, 15)),
    ];
    for (column_type, wire) in contradict {
        assert!(!fits(column_type, wire), "{column_type} {wire:?}");
    }
}

#[test]
fn without_names_the_count_has_to_agree() {
    let definition = definition(&[("a", "int"), ("b", "int")], &[]);
    assert!(matches!(
        build(&definition, &map(&[(3, 0)], None)),
        Err(Misfit::Contradiction(_))
    ));
}

#[test]
fn with_names_columns_added_since_do_no_harm() {
    let definition = definition(&[("new", "int"), ("a", "bigint"), ("b", "int")], &["b"]);
    let schema = build(&definition, &map(&[(3, 0), (8, 0)], Some(&["b", "a"]))).unwrap();
    assert_eq!(
        schema.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
        ["b", "a"]
    );
    assert_eq!(schema.primary_key, [0]);
    // A swap of two columns of one type shows in their names alone.
    let gone = build(&definition, &map(&[(3, 0)], Some(&["old"])));
    let failure = gone.unwrap_err().into_failure(
        &TableId {
            db: "shop".to_owned(),
            table: "t".to_owned(),
        },
        "a:4",
    );
    assert_eq!(failure.reason.code, "schema_contradiction");
    assert!(failure.reason.message.contains("shop.t") && failure.reason.message.contains("old"));
}

#[test]
fn what_cannot_be_read_is_named() {
    let outcome = build(&definition(&[("a", "vector(3)")], &[]), &map(&[(252, 2)], None));
    assert_eq!(
        outcome,
        Err(Misfit::Unsupported(vec![
            "column a: type vector is not supported".to_owned()
        ]))
    );
}
