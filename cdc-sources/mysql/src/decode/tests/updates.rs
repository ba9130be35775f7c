//! Whole events: kinds, keys, positions, reuse.

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;

use super::*;

fn table() -> (Vec<MySqlColumn>, Vec<u8>) {
    let columns = vec![
        MySqlColumn::new("id", "int(11)", false, None).unwrap(),
        MySqlColumn::new("name", "varchar(10)", true, Some("utf8mb4")).unwrap(),
    ];
    let body = table_map_body(&[(ty::LONG, &[]), (ty::VARCHAR, &[40, 0])], &[]);
    (columns, body)
}

fn image(id: u8, name: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![if name.is_some() { 0 } else { 2 }, id, 0, 0, 0];
    if let Some(name) = name {
        bytes.push(u8::try_from(name.len()).unwrap());
        bytes.extend(name.bytes());
    }
    bytes
}

#[test]
fn events_become_kinds_and_positions() {
    let (columns, body) = table();
    let mut rows = builder(&columns, &["id"], &Conversion::default());
    let decoder = RowDecoder::new(&columns, &table_map(&body), 1 << 20).unwrap();
    let writes = [image(1, Some("a")), image(2, None)].concat();
    assert_eq!(decoder.decode(&event(RowsKind::Write, 2, &writes), &mut rows, 0, 0).unwrap(), 2);
    let updates = [image(1, Some("a")), image(1, Some("b")), image(2, None), image(3, None)].concat();
    assert_eq!(decoder.decode(&event(RowsKind::Update, 2, &updates), &mut rows, 0, 1).unwrap(), 4);
    assert_eq!(decoder.decode(&event(RowsKind::Delete, 2, &image(3, None)), &mut rows, 1, 0).unwrap(), 1);
    assert!(rows.bytes() > 7 * 4);
    let finished = rows.finish().unwrap();
    let kinds: Vec<&str> = finished.kinds.iter().map(|kind| kind.short()).collect();
    assert_eq!(kinds, ["+I", "+I", "-U", "+U", "-D", "+I", "-D"]);
    let places: Vec<(u32, u32, u32)> =
        finished.positions.iter().map(|p| (p.transaction, p.event, p.row)).collect();
    assert_eq!(places, [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 1, 2), (0, 1, 3), (1, 0, 0)]);
    assert_eq!(finished.rows.column(0).as_primitive::<Int32Type>().values(), &[1, 2, 1, 1, 2, 3, 3]);
    assert_eq!(finished.rows.column(1).null_count(), 4);

    // The builder begins anew.
    assert!(rows.is_empty());
    decoder.decode(&event(RowsKind::Write, 2, &image(9, Some("z"))), &mut rows, 0, 0).unwrap();
    let again = rows.finish().unwrap();
    assert_eq!(again.rows.num_rows(), 1);
    assert_eq!(again.rows.column(1).as_string::<i32>().value(0), "z");
    assert_eq!(again.rows.column(1).null_count(), 0);
}

#[test]
fn without_a_key_an_update_stays_an_update() {
    let (columns, body) = table();
    let mut rows = builder(&columns, &[], &Conversion::default());
    let decoder = RowDecoder::new(&columns, &table_map(&body), 1 << 20).unwrap();
    let updates = [image(1, None), image(2, None)].concat();
    decoder.decode(&event(RowsKind::Update, 2, &updates), &mut rows, 0, 0).unwrap();
    let kinds = rows.finish().unwrap().kinds;
    assert_eq!(kinds, [RowKind::UpdateBefore, RowKind::UpdateAfter]);
}

#[test]
fn a_failed_event_leaves_nothing_behind() {
    let (columns, body) = table();
    let mut rows = builder(&columns, &["id"], &Conversion::default());
    let decoder = RowDecoder::new(&columns, &table_map(&body), 1 << 20).unwrap();
    decoder.decode(&event(RowsKind::Write, 2, &image(1, Some("keep"))), &mut rows, 0, 0).unwrap();
    let bad_text = [image(2, Some("ok")), vec![0, 3, 0, 0, 0, 1, 0xff]].concat();
    let cut_off = [image(2, Some("ok")), vec![0, 3, 0]].concat();
    let half_update = image(2, Some("ok"));
    let null_key = vec![1, 1, b'x'];
    for (data, rows_kind, expected) in [
        (&bad_text, RowsKind::Write, ErrorKind::Value),
        (&cut_off, RowsKind::Write, ErrorKind::Corrupt),
        (&half_update, RowsKind::Update, ErrorKind::Corrupt),
        (&null_key, RowsKind::Write, ErrorKind::Schema),
    ] {
        let error = decoder.decode(&event(rows_kind, 2, data), &mut rows, 0, 1).unwrap_err();
        assert_eq!(error.kind(), expected, "{error}");
        assert_eq!(rows.len(), 1);
    }
    let error =
        rows.append_text_row([Some(&b"5"[..]), Some(b"\xff")], RowKind::Insert, POSITION).unwrap_err();
    assert!(error.to_string().contains("column=name"), "{error}");
    let finished = rows.finish().unwrap();
    assert_eq!(finished.rows.num_rows(), 1);
    assert_eq!(finished.rows.column(1).as_string::<i32>().value(0), "keep");
}

#[test]
fn images_must_hold_every_column() {
    let (columns, body) = table();
    let mut rows = builder(&columns, &["id"], &Conversion::default());
    let decoder = RowDecoder::new(&columns, &table_map(&body), 1 << 20).unwrap();
    let data = image(1, None);
    let mut minimal = event(RowsKind::Delete, 2, &data);
    minimal.present_before = &[0b01];
    let error = decoder.decode(&minimal, &mut rows, 0, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("binlog_row_image=FULL"));
    let error = decoder.decode(&event(RowsKind::Delete, 3, &data), &mut rows, 0, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
}

#[test]
fn another_shape_is_told_by_name() {
    let (columns, body) = table();
    let same = table_map_body(&[(ty::LONG, &[]), (ty::VARCHAR, &[40, 0])], &[]);
    assert!(RowDecoder::new(&columns, &table_map(&body), 1).unwrap().matches(&table_map(&same)));
    let message = |logged: &[(u8, &[u8])], optional: &[u8]| {
        let body = table_map_body(logged, optional);
        let error = RowDecoder::new(&columns, &table_map(&body), 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
        error.to_string()
    };
    let text = message(&[(ty::LONGLONG, &[]), (ty::VARCHAR, &[40, 0])], &[]);
    assert!(text.contains("`int(11)`") && text.contains("BIGINT") && text.contains("column=id"), "{text}");
    assert!(message(&[(ty::LONG, &[])], &[]).contains("1 columns"));
    let good: &[(u8, &[u8])] = &[(ty::LONG, &[]), (ty::VARCHAR, &[40, 0])];
    assert!(message(good, &[1, 1, 0x80]).contains("unsigned"));
    assert!(message(good, &[4, 8, 2, b'i', b'd', 4, b'n', b'a', b'm', b'f']).contains("namf"));
    assert!(message(good, &[2, 1, 8]).contains("latin1"));
    let agreeing = [1, 1, 0, 2, 1, 45, 4, 8, 2, b'i', b'd', 4, b'n', b'a', b'm', b'e'];
    let body = table_map_body(good, &agreeing);
    assert!(RowDecoder::new(&columns, &table_map(&body), 1).is_ok());
}

#[test]
fn layouts_that_cannot_be_read_are_refused() {
    for (column_type, logged, hint) in [
        ("datetime(3)", (ty::DATETIME, &[][..]), "mysql56_temporal_format"),
        ("text", (ty::MARIADB_BLOB_COMPRESSED, &[2][..]), "COMPRESSED"),
    ] {
        let columns = [column(column_type, None)];
        let body = table_map_body(&[logged], &[]);
        let error = RowDecoder::new(&columns, &table_map(&body), 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(hint), "{error}");
    }
}
