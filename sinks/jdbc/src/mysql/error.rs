//! What a failure of the target server means for the job: the one place that decides it.
//!
//! The texts of MySQL and MariaDB quote row values in some errors (`Duplicate entry 'x' for key
//! …`, `You have an error … near '…'`). A statement that carries rows therefore never passes the
//! server's text on; only the number, and the column or key name cut out of the text's end.

use culvert_api::{Error, ErrorKind};
use mysql_async::{DriverError, IoError, ServerError};
use thiserror::Error as ThisError;

use crate::mysql::quote::identifier;

/// What went wrong, in the words that may be shown.
#[derive(Debug, ThisError)]
enum Cause {
    /// The server answered with an error.
    #[error("error {code}: {text}")]
    Answer { code: u16, text: String },
    /// The server answered with an error whose text may quote a row.
    #[error("error {code}")]
    Withheld { code: u16 },
    /// The connection failed.
    #[error("{0}")]
    Broken(String),
}

/// Which text of the server may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// The statement holds names only.
    Plain,
    /// The statement holds values of rows.
    WithRows,
}

/// Error 1451: a row that others refer to cannot be deleted.
pub(crate) const ROW_IS_REFERENCED: u16 = 1451;
/// Error 1062: another row has the value of a unique index.
pub(crate) const DUPLICATE_ENTRY: u16 = 1062;
/// Error 1048: a column takes no NULL.
const NULL_REFUSED: u16 = 1048;
/// Error 1205: waited too long for a row lock.
pub(crate) const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// Error 1146: no such table.
pub(crate) const NO_SUCH_TABLE: u16 = 1146;

/// What a person can do about a NULL that the target does not take, when that is what failed.
pub(crate) fn refused_null(error: &mysql_async::Error, table: &str) -> Option<String> {
    let mysql_async::Error::Server(answer) = error else { return None };
    match named_in(&answer.message) {
        Some(("column", column)) if answer.code == NULL_REFUSED => Some(format!(
            "rows of the source have NULL there: run on the target ALTER TABLE {table} MODIFY COLUMN {} … NULL, with \
             the column's type",
            identifier(&column)
        )),
        _ => None,
    }
}

/// The number of the server's error, when the server answered at all.
pub(crate) fn code(error: &mysql_async::Error) -> Option<u16> {
    match error {
        mysql_async::Error::Server(answer) => Some(answer.code),
        _ => None,
    }
}

/// Whether a server error of this number means that a right is missing.
pub(crate) fn is_permission(code: u16) -> bool {
    kind_of_code(code) == Some(ErrorKind::Permission)
}

/// Turns the driver's error into ours. `doing` completes "could not …".
pub(crate) fn convert(error: mysql_async::Error, statement: Statement, doing: &str) -> Error {
    let message = format!("could not {doing}");
    match error {
        mysql_async::Error::Server(answer) => server(answer, statement, message),
        mysql_async::Error::Io(IoError::Io(cause)) if is_certificate_error(&cause) => tls(cause, message),
        mysql_async::Error::Io(IoError::Io(cause)) => Error::new(ErrorKind::Connection, message)
            .caused_by(Cause::Broken(format!("connection failed: {cause}"))),
        mysql_async::Error::Io(IoError::Tls(cause)) => tls(cause, message),
        mysql_async::Error::Driver(cause) => driver(cause, message),
        mysql_async::Error::Url(_) => Error::new(ErrorKind::Config, message).hint("check the sink's url"),
        mysql_async::Error::Other(_) => {
            Error::new(ErrorKind::Connection, message).caused_by(Cause::Broken("connection failed".into()))
        }
    }
}

/// A certificate that is not trusted stays so; the TLS library tells it as damaged input.
fn is_certificate_error(cause: &std::io::Error) -> bool {
    cause.kind() == std::io::ErrorKind::InvalidData && cause.to_string().contains("certificate")
}

fn tls(cause: impl std::fmt::Display, message: String) -> Error {
    Error::new(ErrorKind::Config, message)
        .caused_by(Cause::Broken(format!("tls: {cause}")))
        .hint("check sslMode and trustCertificateKeyStoreUrl in the sink's url, and the server's certificate")
}

fn driver(cause: DriverError, message: String) -> Error {
    let (kind, text) = match cause {
        DriverError::ConnectionClosed | DriverError::PoolDisconnected => {
            (ErrorKind::Connection, "the connection is closed")
        }
        DriverError::PacketOutOfOrder
        | DriverError::UnexpectedPacket { .. }
        | DriverError::BadCompressedPacketHeader
        | DriverError::CantParseServerVersion { .. }
        | DriverError::InvalidParsecSalt => (ErrorKind::Corrupt, "the server broke the protocol"),
        DriverError::FromValue { .. } | DriverError::FromRow { .. } => {
            (ErrorKind::Internal, "the server's answer has an unexpected type")
        }
        DriverError::Params(_)
        | DriverError::MixedParams
        | DriverError::StmtParamsMismatch { .. }
        | DriverError::StmtParamsNumberExceedsLimit { .. }
        | DriverError::NestedTransaction
        | DriverError::BulkExecute(_)
        | DriverError::LocalInfile(_) => (ErrorKind::Internal, "the driver was used wrongly"),
        DriverError::ReadOnlyTransNotSupported | DriverError::NamedPipesDisabled => {
            (ErrorKind::Unsupported, "the server or the driver lacks a feature")
        }
        DriverError::UnknownAuthPlugin { .. }
        | DriverError::MysqlOldPasswordDisabled
        | DriverError::CleartextPluginDisabled => {
            (ErrorKind::Unsupported, "the account's authentication plugin is not supported")
        }
        DriverError::PacketTooLarge => {
            (ErrorKind::Value, "a row is larger than the server's max_allowed_packet")
        }
        DriverError::NoKeyFound => (ErrorKind::Config, "the client key file holds no key"),
        DriverError::NoClientSslFlagFromServer => (ErrorKind::Config, "the server does not offer tls"),
    };
    Error::new(kind, message).caused_by(Cause::Broken(text.into()))
}

fn server(answer: ServerError, statement: Statement, message: String) -> Error {
    let code = answer.code;
    let kind = kind_of_answer(&answer);
    let names_only = match kind {
        // A grammar error quotes the statement; the others of this kind quote names.
        ErrorKind::Schema => code != 1064 && code != 1149,
        ErrorKind::Value => false,
        _ => true,
    };
    let mut error = Error::new(kind, message);
    if statement == Statement::Plain || names_only {
        error = error.caused_by(Cause::Answer { code, text: answer.message });
    } else {
        if let Some((what, name)) = named_in(&answer.message) {
            error = error.context(what, name);
        }
        error = error.caused_by(Cause::Withheld { code });
    }
    match hint_for(code) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Cuts the column or key out of the end of a server text; everything before it may be a value.
pub(crate) fn named_in(text: &str) -> Option<(&'static str, String)> {
    if let Some((_, key)) = text.rsplit_once("for key ") {
        return Some(("key", trim_quotes(key)));
    }
    let head = text.rsplit_once(" at row ").map_or(text, |(head, _)| head);
    if let Some((_, column)) = head.rsplit_once("for column ") {
        return Some(("column", trim_quotes(column)));
    }
    let (column, _) = text.strip_prefix("Column ")?.split_once(" cannot be null")?;
    Some(("column", trim_quotes(column)))
}

fn trim_quotes(text: &str) -> String {
    let name = text.trim().trim_matches(|c| c == '\'' || c == '`');
    // MariaDB writes `database`.`table`.`column`.
    name.rsplit("`.`").next().unwrap_or(name).to_string()
}

fn hint_for(code: u16) -> Option<&'static str> {
    match code {
        1062 | 1586 => Some(
            "two rows share a value that a unique index of the target forbids: compare its unique indexes with \
             the source's, and see whether rows of another origin are in the table",
        ),
        1290 | 1836 | 1792 => {
            Some("the target server is read-only; the job goes on when it accepts writes again")
        }
        1021 | 1114 | 3 | 1026 | 1030 => Some("free space on the target server; the job goes on by itself"),
        1153 => Some("a row is larger than the target's max_allowed_packet: raise it there"),
        _ => None,
    }
}

/// What an answer of the server means.
fn kind_of_answer(answer: &ServerError) -> ErrorKind {
    match answer.code {
        // `--read-only` passes; the other options behind this number do not.
        1290 if !answer.message.contains("read-only") && !answer.message.contains("read_only") => {
            ErrorKind::Permission
        }
        // "Got error 28 from storage engine": the operating system's "no space left".
        1030 if !answer.message.contains(" 28 ") && !answer.message.contains("No space") => ErrorKind::Schema,
        code => kind_of_code(code).unwrap_or_else(|| kind_of_state(&answer.state)),
    }
}

/// The numbers of MySQL and MariaDB that say what follows.
const KNOWN: [(ErrorKind, &[u16]); 6] = [
    // Connection lost, killed, or closed while the server stops.
    (
        ErrorKind::Connection,
        &[1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1189, 1190, 1927, 2006, 2013, 4031],
    ),
    // Too many connections, disk or table full, read-only, statement interrupted or timed out.
    (
        ErrorKind::Unavailable,
        &[3, 28, 1021, 1026, 1030, 1040, 1114, 1203, 1226, 1290, 1317, 1792, 1836, 1969, 3024],
    ),
    // Lock wait, deadlock, changed since the last read.
    (ErrorKind::Contention, &[LOCK_WAIT_TIMEOUT, 1213, 1020, 1614, 3058, 3572]),
    // Account, host, database, table, column, procedure rights.
    (
        ErrorKind::Permission,
        &[1044, 1045, 1129, 1130, 1131, 1132, 1133, 1142, 1143, 1227, 1370, 1410, 1698, 1873, 3118],
    ),
    // Missing or unfit database, table, column, key; a statement that does not parse.
    (
        ErrorKind::Schema,
        &[
            1046,
            1049,
            1050,
            1051,
            1054,
            1060,
            1061,
            1064,
            1068,
            1071,
            1072,
            1073,
            1074,
            1075,
            1091,
            1103,
            1109,
            1110,
            1118,
            1136,
            NO_SUCH_TABLE,
            1149,
            1166,
            1170,
            1347,
            1364,
            1471,
            1664,
            1665,
            1906,
            3105,
        ],
    ),
    // A value or a pair of rows that the target does not take.
    (
        ErrorKind::Value,
        &[
            1022,
            NULL_REFUSED,
            1062,
            1153,
            1169,
            1216,
            1217,
            1263,
            1264,
            1265,
            1292,
            1300,
            1366,
            1367,
            1406,
            1411,
            1416,
            1441,
            ROW_IS_REFERENCED,
            1452,
            1586,
            1690,
            3140,
            3819,
            4025,
        ],
    ),
];

fn kind_of_code(code: u16) -> Option<ErrorKind> {
    KNOWN.iter().find(|(_, codes)| codes.contains(&code)).map(|(kind, _)| *kind)
}

/// What the SQLSTATE class says about a number we do not know: a person looks at it unless the
/// class itself says that it passes or that a value is at fault.
fn kind_of_state(state: &str) -> ErrorKind {
    match state.get(..2) {
        Some("08") => ErrorKind::Connection,
        Some("40") => ErrorKind::Contention,
        Some("22" | "23") => ErrorKind::Value,
        Some("28") => ErrorKind::Permission,
        _ => ErrorKind::Schema,
    }
}

#[cfg(test)]
mod tests {
    use culvert_api::ErrorClass;

    use super::*;

    fn answered(code: u16, text: &str) -> mysql_async::Error {
        ServerError { code, message: text.into(), state: "HY000".into() }.into()
    }

    #[test]
    fn row_values_of_the_server_text_are_withheld() {
        let secret = "s3cret' for column 'x";
        for text in [
            format!("Duplicate entry '{secret}' for key 'mail'"),
            format!("Incorrect integer value: '{secret}' for column `d`.`t`.`mail` at row 1"),
            format!("You have an error in your SQL syntax near '{secret}' at line 1"),
        ] {
            let code = if text.starts_with("Dup") {
                1062
            } else if text.starts_with("Inc") {
                1366
            } else {
                1064
            };
            let error = convert(answered(code, &text), Statement::WithRows, "write to d.t");
            assert!(!error.to_string().contains("s3cret"), "{error}");
            assert!(error.to_string().contains(&code.to_string()), "{error}");
        }
        let error = convert(
            answered(1062, "Duplicate entry 'a' for key 'mail'"),
            Statement::WithRows,
            "write to d.t",
        );
        assert!(error.to_string().contains("key=mail"), "{error}");
        let error =
            convert(answered(1048, "Column 'name' cannot be null"), Statement::WithRows, "write to d.t");
        assert!(error.to_string().contains("column=name"), "{error}");
        let text = "Incorrect integer value: 'x' for column `d`.`t`.`mail` at row 1";
        let error = convert(answered(1366, text), Statement::WithRows, "write to d.t");
        assert!(error.to_string().contains("column=mail"), "{error}");
    }

    #[test]
    fn classes_of_well_known_numbers() {
        let class = |code, text: &str| convert(answered(code, text), Statement::WithRows, "write").class();
        for code in [1053, 1021, 1114, 1040, 1205, 1213, 2013] {
            assert_eq!(class(code, "x"), ErrorClass::Transient, "{code}");
        }
        assert_eq!(class(1290, "running with the --read-only option"), ErrorClass::Transient);
        assert_eq!(class(1290, "running with the --secure-file-priv option"), ErrorClass::Operator);
        assert_eq!(class(1030, "Got error 28 from storage engine"), ErrorClass::Transient);
        for code in [1044, 1045, 1142, 1227, 1146, 1054, 1136, 1064, 60000] {
            assert_eq!(class(code, "x"), ErrorClass::Operator, "{code}");
        }
        for code in [1062, 1048, 1264, 1406, 1292, 1366, 1452] {
            assert_eq!(class(code, "x"), ErrorClass::Data, "{code}");
        }
    }
}
