//! Everything that reads bytes from a server, at once, for feeding with arbitrary bytes.

use culvert_api::{Result, RowKind, TableId, TableSchema};

use super::{Layout, RowDecoder, RowsBuilder};
use crate::column::{Conversion, MySqlColumn, ZeroDatePolicy};
use crate::event::{
    ChecksumAlgorithm, Event, FormatDescription, ParseContext, RowsData, RowsEvent, RowsKind, parse, split,
    verify_checksum,
};
use crate::json;

/// The most bytes anything compressed may expand to here.
const EXPANDED_MAX: usize = 1 << 20;

/// Runs every parser and a decoder of every column type over the bytes, whatever they are. It
/// must neither panic nor take memory out of proportion; what the parsers say is dropped. The
/// first byte chooses the event type and the columns, the others are the event.
pub fn decode_untrusted(data: &[u8]) {
    for checksum in [ChecksumAlgorithm::None, ChecksumAlgorithm::Crc32] {
        if let Ok(event) = split(data, checksum) {
            visit(event.header.event_type, event.header.flags, event.body);
        }
    }
    verify_checksum(data);
    let Some((choice, body)) = data.split_first() else { return };
    visit(*choice, 0, body);
    let mut text = String::new();
    let _ = json::append_text(body, &mut text);
    // An error here is what is expected of most bytes.
    let _ = decode_rows(*choice, body);
    let _ = decode_text(*choice, body);
}

fn visit(event_type: u8, flags: u16, body: &[u8]) {
    let context = ParseContext { format: FormatDescription::assumed(), expanded_bytes_max: EXPANDED_MAX };
    match parse(event_type, flags, body, &context) {
        Ok(Event::TableMap(table_map)) => {
            let _ = table_map.optional_metadata();
            let _ = RowDecoder::new(&[], &table_map, EXPANDED_MAX);
        }
        Ok(Event::Rows(rows)) => {
            rows.has_full_images();
            let _ = rows.data.expand(EXPANDED_MAX);
        }
        Ok(Event::TransactionPayload(payload)) => {
            let Ok(mut events) = payload.events(EXPANDED_MAX) else { return };
            // The events inside are visited, payloads in payloads are not.
            for _ in 0..1000 {
                let Ok(Some((header, body))) = events.next_event() else { return };
                if header.event_type != crate::event::kind::TRANSACTION_PAYLOAD {
                    visit(header.event_type, header.flags, body);
                }
            }
        }
        _ => {}
    }
}

/// One column of every type, with a layout that may belong to it.
fn samples() -> Result<Vec<(MySqlColumn, Layout)>> {
    let samples: &[(&str, Option<&str>, Layout)] = &[
        ("tinyint", None, Layout::Int(1)),
        ("mediumint", None, Layout::Int(3)),
        ("bigint unsigned", None, Layout::Int(8)),
        ("float", None, Layout::Float),
        ("double", None, Layout::Double),
        ("decimal(20,7)", None, Layout::Decimal { precision: 20, scale: 7 }),
        ("decimal(65,30)", None, Layout::Decimal { precision: 65, scale: 30 }),
        ("bit(64)", None, Layout::Bit(8)),
        ("year", None, Layout::Year),
        ("date", None, Layout::Date),
        ("time(6)", None, Layout::Time(6)),
        ("time(1)", None, Layout::Time(1)),
        ("datetime(3)", None, Layout::DateTime(3)),
        ("timestamp(6)", None, Layout::Timestamp(6)),
        ("time", None, Layout::OldTime),
        ("datetime", None, Layout::OldDateTime),
        ("timestamp", None, Layout::OldTimestamp),
        ("char(10)", Some("latin1"), Layout::Bytes(1)),
        ("varchar(300)", Some("utf8mb4"), Layout::Bytes(2)),
        ("text", Some("gbk"), Layout::Bytes(2)),
        ("text", Some("utf16"), Layout::Bytes(2)),
        ("binary(4)", None, Layout::Bytes(1)),
        ("longblob", None, Layout::Bytes(4)),
        ("enum('a','b')", Some("latin1"), Layout::Enum(1)),
        ("set('a','b')", Some("latin1"), Layout::Set(1)),
        ("json", None, Layout::Json(4)),
        ("geometry", None, Layout::Bytes(4)),
        ("uuid", None, Layout::Bytes(1)),
        ("inet4", None, Layout::Bytes(1)),
        ("inet6", None, Layout::Bytes(1)),
    ];
    samples
        .iter()
        .enumerate()
        .map(|(index, (text, charset, layout))| {
            Ok((MySqlColumn::new(format!("c{index}"), *text, true, *charset)?, *layout))
        })
        .collect()
}

fn builder(columns: &[MySqlColumn]) -> Result<RowsBuilder> {
    let conversion = Conversion {
        zero_dates: ZeroDatePolicy::Null,
        expanded_bytes_max: EXPANDED_MAX,
        ..Conversion::default()
    };
    let shape = columns.iter().map(|column| column.to_column(&conversion)).collect();
    let key = columns.first().map(|column| column.name.clone()).into_iter().collect();
    let schema = TableSchema::new(TableId::new("d", "t"), 1, shape, key, culvert_api::RowKindSet::ALL);
    RowsBuilder::new(&schema, columns, &conversion)
}

/// All columns in one row, or one of them alone.
fn decode_rows(choice: u8, body: &[u8]) -> Result<()> {
    let mut chosen = samples()?;
    if let Some(sample) = chosen.get(usize::from(choice >> 1)).cloned() {
        chosen = vec![sample];
    }
    let (columns, layouts): (Vec<MySqlColumn>, Vec<Layout>) = chosen.into_iter().unzip();
    let mut rows = builder(&columns)?;
    let all = vec![0xff; columns.len().div_ceil(8)];
    let kind = if choice & 1 == 0 { RowsKind::Update } else { RowsKind::Write };
    let event = RowsEvent {
        table_id: 1,
        flags: 0,
        kind,
        column_count: columns.len(),
        present_before: &all,
        present_after: &all,
        data: RowsData::Plain(body),
    };
    let reads = vec![true; layouts.len()];
    let decoder = RowDecoder {
        names: Vec::new(),
        layouts,
        reads,
        signature: Vec::new(),
        expanded_bytes_max: EXPANDED_MAX,
    };
    decoder.decode(&event, &mut rows, 0, 0)?;
    rows.finish()?;
    Ok(())
}

fn decode_text(choice: u8, body: &[u8]) -> Result<()> {
    let samples = samples()?;
    let Some((column, _)) = samples.get(usize::from(choice) % samples.len().max(1)) else { return Ok(()) };
    let mut rows = builder(std::slice::from_ref(column))?;
    let position = culvert_api::RowPosition { transaction: 0, event: 0, row: 0 };
    rows.append_text_row([Some(body)], RowKind::Insert, position)?;
    rows.finish()?;
    Ok(())
}
