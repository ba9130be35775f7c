//! Encrypts and decrypts text columns.

mod cipher;

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use culvert_api::{ChangeBatch, Column, Error, ErrorKind, Result, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule};

use crate::layout::{Layout, Origin, column, find_text, the_one, unfit_row};
use crate::text::map_text;
use cipher::{Algorithm, Cipher};

/// Encrypts or decrypts text columns with AES. What leaves is Base64 of the initialization vector and the
/// encrypted text, as SeaTunnel has it, so that each reads what the other wrote.
///
/// A transform is a pure function: the vector is derived from the key, the column, the text and the row's
/// place in the log, instead of drawn. In a key column the place does not count: one key is one key
/// encrypted, so the table keeps it.
#[derive(Clone, Debug)]
pub struct FieldEncrypt {
    fields: Vec<String>,
    cipher: Cipher,
    decrypts: bool,
    length_max: usize,
}

impl FieldEncrypt {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "FieldEncrypt";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::list("fields")
            .required()
            .doc("The text columns to encrypt or decrypt. NULL and blank texts stay."),
        OptionDef::string("key").required().secret().doc(
            "The key in Base64, 16, 24 or 32 bytes; `base64:` may stand in front. Give it by a variable.",
        ),
        OptionDef::choice("algorithm", &["AES_GCM", "AES_CBC"]).default("AES_GCM").doc(
            "AES_GCM notices when an encrypted text was changed, AES_CBC (with PKCS5 padding) does not.",
        ),
        OptionDef::choice("mode", &["ENCRYPT", "DECRYPT"]).default("ENCRYPT").doc("What to do."),
        OptionDef::int_in("max_field_length", 1, 1_073_741_824)
            .default("10485760")
            .unit("characters")
            .doc("A longer text stops the job."),
    ];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[];

    /// Makes the transform. Errors are [`ErrorKind::Config`] and never hold the key.
    pub fn from_options(options: &Options) -> Result<FieldEncrypt> {
        let fields = options.list("fields").to_vec();
        if fields.is_empty() {
            return Err(Error::new(ErrorKind::Config, "option `fields` names no column"));
        }
        let secret = options.secret("key");
        let text = secret.expose().trim();
        let wrong = |message: &str| {
            Error::new(ErrorKind::Config, message).hint("make one with `openssl rand -base64 32`")
        };
        let key = STANDARD
            .decode(text.strip_prefix("base64:").unwrap_or(text).trim())
            .map_err(|_| wrong("option `key` is not Base64"))?;
        let algorithm = match options.enum_value("algorithm") {
            "AES_CBC" => Algorithm::Cbc,
            _ => Algorithm::Gcm,
        };
        let cipher = Cipher::new(algorithm, key)
            .ok_or_else(|| wrong("option `key` does not hold 16, 24 or 32 bytes"))?;
        let length_max = usize::try_from(options.unsigned("max_field_length")).unwrap_or(usize::MAX);
        let decrypts = options.enum_value("mode") == "DECRYPT";
        Ok(FieldEncrypt { fields, cipher, decrypts, length_max })
    }

    fn layout(&self, input: &TableSchema) -> Result<Layout> {
        let mut layout = Layout::of(FieldEncrypt::PLUGIN, input);
        for (new, name) in self.fields.iter().enumerate() {
            let place = find_text(FieldEncrypt::PLUGIN, input, name)?;
            let old = column(FieldEncrypt::PLUGIN, input, place)?;
            let changed = Column::derived(old.name, DataType::Utf8, old.nullable);
            layout.put(changed, Origin::OneToOne { from: place, new });
        }
        Ok(layout)
    }

    fn changed(&self, batch: &ChangeBatch, name: &str) -> Result<ArrayRef> {
        let place = find_text(FieldEncrypt::PLUGIN, &batch.schema, name)?;
        let column = column(FieldEncrypt::PLUGIN, &batch.schema, place)?.name;
        let is_key = batch.schema.key_indices().contains(&place);
        map_text(FieldEncrypt::PLUGIN, batch, place, |row, text| {
            let unfit = |message: &str| unfit_row(FieldEncrypt::PLUGIN, batch, row, &column, message);
            if text.len() > self.length_max && text.chars().count() > self.length_max {
                let error = unfit("a text is longer than max_field_length");
                return Err(error.hint("raise max_field_length"));
            }
            if text.trim().is_empty() {
                return Ok(text.to_owned());
            }
            if self.decrypts {
                let opened = STANDARD.decode(text).ok().and_then(|sealed| self.cipher.open(&sealed));
                let text = opened.and_then(|bytes| String::from_utf8(bytes).ok());
                return text.ok_or_else(|| {
                    unfit("a text cannot be decrypted")
                        .hint("is it the key and the algorithm it was encrypted with?")
                });
            }
            let transaction = batch.transaction(row).map_or("", |transaction| transaction.name.as_str());
            let place = batch.positions.get(row).map(|at| (transaction, at.event, at.row));
            let sealed = self.cipher.seal(&column, place.filter(|_| !is_key), text.as_bytes());
            Ok(STANDARD.encode(sealed.ok_or_else(|| unfit("a text is too long to be encrypted"))?))
        })
    }
}

impl Transform for FieldEncrypt {
    fn name(&self) -> &str {
        FieldEncrypt::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        Ok(vec![self.layout(input)?.schema(input)?])
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        let layout = self.layout(&batch.schema)?;
        let new = self.fields.iter().map(|name| self.changed(&batch, name)).collect::<Result<Vec<_>>>()?;
        layout.batch(batch, the_one(FieldEncrypt::PLUGIN, outputs)?, &new)
    }
}

#[cfg(test)]
mod tests;
