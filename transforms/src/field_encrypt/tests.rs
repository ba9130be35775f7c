#![allow(clippy::unwrap_used)]

use culvert_config::definition_mistakes;
use serde_json::json;

use super::*;
use crate::testing::{LEFT_OUT, lines, mapped, options_of, ran, run, text_batch};

/// Sixteen zero bytes, as SeaTunnel's documents have them.
const KEY: &str = "base64:AAAAAAAAAAAAAAAAAAAAAA==";

fn encrypt(fields: &[&str], algorithm: &str, mode: &str) -> FieldEncrypt {
    let options = json!({"fields": fields, "key": KEY, "algorithm": algorithm, "mode": mode});
    FieldEncrypt::from_options(&options_of(FieldEncrypt::PLUGIN, FieldEncrypt::OPTIONS, options)).unwrap()
}

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(FieldEncrypt::OPTIONS), Vec::<String>::new());
}

#[test]
fn what_is_encrypted_can_be_decrypted() {
    let rows = ["+I 1|Joy Ding", "+I 2|null", "+I 3|  ", "-U 4|ä", &format!("+U 4|{LEFT_OUT}")];
    let batch = text_batch(&["id", "name"], &rows);
    for (algorithm, bytes) in [("AES_GCM", 12 + 8 + 16), ("AES_CBC", 16 + 16)] {
        for size in [16, 24, 32] {
            let options = json!({"fields": ["id", "name"], "key": STANDARD.encode(vec![7; size]), "algorithm": algorithm});
            let sealing = FieldEncrypt::from_options(&options_of(
                FieldEncrypt::PLUGIN,
                FieldEncrypt::OPTIONS,
                options.clone(),
            ))
            .unwrap();
            let sealed = run(&sealing, &batch).unwrap().remove(0);
            let text = crate::text::text_at(sealed.rows.column(1), 0).unwrap();
            assert_eq!(STANDARD.decode(text).unwrap().len(), bytes, "{algorithm}");
            assert!(lines(&sealed)[1].ends_with("|null") && lines(&sealed)[2].ends_with("|  "));
            let opening = FieldEncrypt { decrypts: true, ..sealing };
            assert_eq!(ran(&opening, &sealed), rows, "{algorithm} {size}");
        }
    }
}

#[test]
fn what_others_encrypted_is_decrypted() {
    // Made with OpenSSL: AES-128-CBC, PKCS padding, the vector 000102…0f in front.
    let cbc = "AAECAwQFBgcICQoLDA0ODwK+nCooo48u8nu6WUiC4tc=";
    // NIST's case 2 of GCM, with the text of sixteen zero bytes: not readable, so it is tried on the cipher.
    let gcm = Cipher::new(Algorithm::Gcm, vec![0; 16]).unwrap();
    let mut sealed = vec![0; 12];
    sealed.extend([
        0x03, 0x88, 0xda, 0xce, 0x60, 0xb6, 0xa3, 0x92, 0xf3, 0x28, 0xc2, 0xb9, 0x71, 0xb2, 0xfe, 0x78,
    ]);
    sealed.extend([
        0xab, 0x6e, 0x47, 0xd4, 0x2c, 0xec, 0x13, 0xbd, 0xf5, 0x3a, 0x67, 0xb2, 0x12, 0x57, 0xbd, 0xdf,
    ]);
    assert_eq!(gcm.open(&sealed).unwrap(), vec![0; 16]);
    let batch = text_batch(&["id", "name"], &[&format!("+I 1|{cbc}")]);
    assert_eq!(ran(&encrypt(&["name"], "AES_CBC", "DECRYPT"), &batch), ["+I 1|Joy Ding"]);
}

#[test]
fn one_key_is_one_encrypted_key_and_other_values_do_not_tell_that_they_are_equal() {
    let batch = text_batch(&["id", "name"], &["-U k|x", "+U k|x", "+I l|x"]);
    let transform = encrypt(&["id", "name"], "AES_GCM", "ENCRYPT");
    assert_eq!(mapped(&transform, &batch.schema).primary_key, ["id"]);
    let left = run(&transform, &batch).unwrap();
    let text = |place: usize, row: usize| crate::text::text_at(left[0].rows.column(place), row).unwrap();
    assert_eq!(text(0, 0), text(0, 1));
    assert_ne!(text(0, 0), text(0, 2));
    assert!(text(1, 0) != text(1, 1) && text(1, 1) != text(1, 2));
    assert_eq!(lines(&run(&transform, &batch).unwrap()[0]), lines(&left[0]), "the same again");
}

#[test]
fn what_cannot_be_decrypted_stops_the_job_without_telling_it() {
    let sealed =
        run(&encrypt(&["name"], "AES_GCM", "ENCRYPT"), &text_batch(&["id", "name"], &["+I 1|secret"]));
    let sealed = crate::text::text_at(sealed.unwrap()[0].rows.column(1), 0).unwrap().to_owned();
    let changed = sealed.replacen(&sealed[20..21], if &sealed[20..21] == "A" { "B" } else { "A" }, 1);
    for text in ["no Base64!", "AAAA", &changed] {
        let batch = text_batch(&["id", "name"], &[&format!("+I 1|{text}")]);
        let error = run(&encrypt(&["name"], "AES_GCM", "DECRYPT"), &batch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        let told = error.to_string();
        assert!(
            told.contains("column=name") && told.contains("table=db.t") && !told.contains(text),
            "{told}"
        );
    }
}

#[test]
fn keys_of_other_sizes_and_long_texts_are_refused() {
    for key in ["AAAA", "???", ""] {
        let options = json!({"fields": ["a"], "key": key});
        let error =
            FieldEncrypt::from_options(&options_of(FieldEncrypt::PLUGIN, FieldEncrypt::OPTIONS, options));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(key.is_empty() || !error.to_string().contains(key), "{error}");
    }
    let short = FieldEncrypt { length_max: 3, ..encrypt(&["name"], "AES_GCM", "ENCRYPT") };
    let error = run(&short, &text_batch(&["id", "name"], &["+I 1|äöüß"])).unwrap_err();
    assert!(error.to_string().contains("max_field_length"), "{error}");
    assert_eq!(run(&short, &text_batch(&["id", "name"], &["+I 1|äöü"])).unwrap().len(), 1);
    assert!(!format!("{short:?}").contains("[0, 0"), "no key is shown");
}
