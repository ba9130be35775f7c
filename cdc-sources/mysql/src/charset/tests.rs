#![allow(clippy::unwrap_used)]
//! Charsets against facts known from elsewhere.

use super::*;

fn decode(charset: &str, bytes: &[u8]) -> Result<String, InvalidText> {
    let mut out = String::new();
    Charset::from_name(charset).unwrap().append(bytes, &mut out).map(|()| out)
}

#[test]
fn latin1_is_windows_1252_without_gaps() {
    assert_eq!(decode("latin1", b"a\x80\x81\x9f\xe9").unwrap(), "a€\u{81}Ÿé");
    for byte in 0u8..=255 {
        let (expected, _) =
            encoding_rs::WINDOWS_1252.decode_without_bom_handling(std::slice::from_ref(&byte));
        assert_eq!(decode("latin1", &[byte]).unwrap(), expected);
    }
}

#[test]
fn single_byte_sets_agree_with_their_standards() {
    let pairs = [
        ("latin2", encoding_rs::ISO_8859_2),
        ("latin7", encoding_rs::ISO_8859_13),
        ("cp1250", encoding_rs::WINDOWS_1250),
        ("cp1251", encoding_rs::WINDOWS_1251),
        ("koi8r", encoding_rs::KOI8_R),
        ("cp866", encoding_rs::IBM866),
        ("tis620", encoding_rs::WINDOWS_874),
    ];
    for (name, encoding) in pairs {
        let mut compared = 0;
        for byte in 0xa0u8..=255 {
            let expected =
                encoding.decode_without_bom_handling_and_without_replacement(std::slice::from_ref(&byte));
            if let (Ok(ours), Some(theirs)) = (decode(name, &[byte]), expected) {
                // The servers follow code page 866 as IBM first made it: ⁿ and ² here. Their koi8u
                // has no Belarusian letter, the web's has.
                let older = match name {
                    "cp866" => matches!(byte, 0xfc | 0xfd),
                    "koi8u" => matches!(byte, 0xae | 0xbe),
                    _ => false,
                };
                if !older {
                    assert_eq!(ours, theirs, "{name} {byte:#x}");
                }
                compared += 1;
            }
        }
        assert!(compared >= 60, "{name}: only {compared} bytes compared");
    }
}

#[test]
fn unicode_forms() {
    assert_eq!(decode("utf16", &[0, b'a', 0xd8, 0x3d, 0xde, 0x00]).unwrap(), "a😀");
    assert_eq!(decode("utf16le", &[b'a', 0, 0x3d, 0xd8, 0x00, 0xde]).unwrap(), "a😀");
    assert_eq!(decode("utf32", &[0, 1, 0xf6, 0]).unwrap(), "😀");
    assert_eq!(decode("ucs2", &[0x20, 0xac]).unwrap(), "€");
    assert!(decode("ucs2", &[0xd8, 0x3d, 0xde, 0x00]).is_err(), "ucs2 has no surrogates");
    assert!(decode("utf16", &[0]).is_err());
    assert!(decode("utf8mb4", b"\xff").is_err());
    assert!(decode("ascii", b"\x80").is_err());
}

#[test]
fn east_asian_sets() {
    assert_eq!(decode("gbk", b"\xc4\xe3\xba\xc3").unwrap(), "你好");
    assert_eq!(decode("gb2312", b"\xc4\xe3").unwrap(), "你");
    assert_eq!(decode("gb18030", b"\x94\x39\xda\x33").unwrap(), "💩");
    assert_eq!(decode("big5", b"\xa7\x41\xa6\x6e").unwrap(), "你好");
    assert_eq!(decode("sjis", b"\x93\xfa\x96\x7b\xb1").unwrap(), "日本ｱ");
    assert_eq!(decode("cp932", b"\x93\xfa\x87\x40").unwrap(), "日①");
    assert_eq!(decode("ujis", b"\xc6\xfc\xcb\xdc").unwrap(), "日本");
    assert_eq!(decode("euckr", b"\xc7\xd1\xb1\xdb").unwrap(), "한글");
    assert!(decode("gbk", b"\xc4").is_err(), "half a character");
}

#[test]
fn names_and_collation_numbers() {
    for (number, name) in [
        (8, "latin1"),
        (33, "utf8mb3"),
        (45, "utf8mb4"),
        (63, "binary"),
        (28, "gbk"),
        (248, "gb18030"),
        (255, "utf8mb4"),
        (309, "utf8mb4"),
        (1032, "latin1"),
        (1070, "utf8mb4"),
        (576, "utf8mb3"),
        (1248, "utf8mb4"),
        (2304, "utf8mb4"),
        (3072, "utf32"),
        (83, "utf8mb3"),
    ] {
        assert_eq!(Charset::from_collation(number).unwrap().name(), name, "{number}");
    }
    let error = Charset::from_name("klingon").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("klingon"));
    let stored = serde_json::to_string(&Charset::from_name("UTF8").unwrap()).unwrap();
    assert_eq!(stored, "\"utf8mb3\"");
    assert_eq!(serde_json::from_str::<Charset>("\"cp850\"").unwrap().name(), "cp850");
}

#[test]
fn where_servers_and_the_web_differ() {
    // Between characters of one byte, of two, and at both ends.
    assert_eq!(decode("sjis", b"\x81\x60a\x81\x5f\xb1\x95\x5c\x81\x60").unwrap(), "〜a\\ｱ表〜");
    assert_eq!(decode("cp932", b"\x81\x60").unwrap(), "～");
    assert_eq!(decode("ujis", b"\xa1\xc1\x8e\xb1\xb0\xa1").unwrap(), "〜ｱ亜");
    assert_eq!(decode("eucjpms", b"\xf5\xa1\x8f\xf5\xa1\x8f\xf4\xfe").unwrap(), "\u{e000}\u{e3ac}黑");
    assert_eq!(decode("big5", b"\xa1\x45\xc6\xa6\xa4\xa4").unwrap(), "\u{2022}\u{3042}中");
    assert_eq!(decode("gb2312", b"\xa1\xa4\xb0\xa1").unwrap(), "・啊");
    assert_eq!(decode("gb18030", b"\xfe\x59\x81\x30\x81\x30").unwrap(), "\u{e81e}\u{80}");
    // Cut off, or no text at all.
    for broken in [&b"\x81"[..], b"\x81\x60\x81", b"\xff\xff"] {
        assert!(decode("sjis", broken).is_err(), "{broken:x?}");
        assert!(decode("gb18030", broken).is_err(), "{broken:x?}");
    }
}
