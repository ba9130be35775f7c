//! What leads to an S3 service, by the names that Hadoop gave it.

use culvert_api::Result;
use culvert_config::{OptionDef, Options};
use culvert_files::format::option;
use culvert_storage::S3Options;

const PROVIDER: &str = "fs.s3a.aws.credentials.provider";
const PROPERTIES: &str = "hadoop_s3_properties";
const PATH_STYLE: &str = "fs.s3a.path.style.access";
const REGION: &str = "fs.s3a.endpoint.region";
const TOKEN: &str = "fs.s3a.session.token";

/// The options that lead to a bucket.
pub(crate) const SERVICE: [OptionDef; 7] = [
    OptionDef::string("bucket").required().doc("The bucket: `s3a://NAME` or `s3://NAME`."),
    OptionDef::string("fs.s3a.endpoint")
        .doc("The address of the service: `https://HOST`, which may be left out, or `http://HOST` for one without TLS. Without it that of AWS."),
    OptionDef::string("access_key").alias(&["fs.s3a.access.key"]).secret()
        .doc("The access key. Without it credentials come from the environment (`AWS_ACCESS_KEY_ID` …) or the machine's role."),
    OptionDef::string("secret_key").alias(&["fs.s3a.secret.key"]).secret().doc("Its secret."),
    OptionDef::string(PROVIDER)
        .doc("Where credentials come from, by the class of Hadoop: SimpleAWSCredentialsProvider and TemporaryAWSCredentialsProvider ask for keys here, the others take those of the environment or the machine's role."),
    OptionDef::string("tmp_path").ignored("what is not committed yet is with the service, and seen by nobody")
        .doc("Where other programs stage objects."),
    OptionDef::map(PROPERTIES)
        .doc("More of Hadoop's properties: `fs.s3a.path.style.access`, `fs.s3a.endpoint.region`, `fs.s3a.session.token`. Those that only tune Hadoop have no effect, others are refused."),
];

/// Classes that take the keys of the job file.
const WITH_KEYS: &[&str] = &["SimpleAWSCredentialsProvider", "TemporaryAWSCredentialsProvider"];
/// Classes that look around: the environment, a token that is mounted, the role of a container or machine.
const WITHOUT_KEYS: &[&str] = &[
    "InstanceProfileCredentialsProvider",
    "IAMInstanceCredentialsProvider",
    "ContainerCredentialsProvider",
    "EnvironmentVariableCredentialsProvider",
    "WebIdentityTokenCredentialsProvider",
    "WebIdentityTokenFileCredentialsProvider",
    "DefaultAWSCredentialsProviderChain",
    "DefaultCredentialsProvider",
];

/// Beginnings of properties by which Hadoop's client tunes itself.
const TUNING: &[&str] = &[
    "fs.s3a.buffer.",
    "fs.s3a.fast.upload",
    "fs.s3a.connection.",
    "fs.s3a.threads.",
    "fs.s3a.max.total.tasks",
    "fs.s3a.multipart.",
    "fs.s3a.block.size",
    "fs.s3a.readahead.",
    "fs.s3a.attempts.",
    "fs.s3a.retry.",
    "fs.s3a.socket.",
    "fs.s3a.impl",
    "fs.s3a.committer.",
];

/// The bucket's name.
pub(crate) fn bucket(options: &Options) -> Result<String> {
    let written = options.str("bucket");
    let name = ["s3a://", "s3://", "s3n://"].iter().find_map(|scheme| written.strip_prefix(scheme));
    let name = name.unwrap_or(written).trim_end_matches('/');
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if name.is_empty() || !name.chars().all(fits) {
        return Err(option("bucket", "is not the name of a bucket")
            .hint("write s3a://NAME or s3://NAME; folders in it belong to `path`"));
    }
    Ok(name.to_owned())
}

/// How the service is reached.
pub(crate) fn service(options: &Options) -> Result<S3Options> {
    let mut found = S3Options { endpoint: endpoint(options)?, ..S3Options::default() };
    found.region = found.endpoint.as_deref().and_then(region_of);
    for (key, value) in options.map(PROPERTIES) {
        match key.as_str() {
            PATH_STYLE => found.virtual_hosted = !truth(PATH_STYLE, value)?,
            REGION => found.region = Some(value.clone()),
            TOKEN => found.session_token = Some(value.clone()),
            "fs.s3a.connection.ssl.enabled" => {
                return Err(property(key, "is decided by the address")
                    .hint("begin fs.s3a.endpoint with https:// or http://"));
            }
            _ if TUNING.iter().any(|beginning| key.starts_with(beginning)) => {
                tracing::warn!("property '{key}' of {PROPERTIES} has no effect: it tunes Hadoop's client");
            }
            _ => {
                return Err(property(key, "is not supported").hint(format!(
                    "there are: {PATH_STYLE}, {REGION}, {TOKEN}; keys belong to access_key and secret_key"
                )));
            }
        }
    }
    let set = |name: &str| Some(options.secret(name).expose().to_owned()).filter(|text| !text.is_empty());
    (found.access_key, found.secret_key) = (set("access_key"), set("secret_key"));
    match (&found.access_key, &found.secret_key) {
        (Some(_), None) => return Err(option("secret_key", "is missing: access_key is set")),
        (None, Some(_)) => return Err(option("access_key", "is missing: secret_key is set")),
        _ => {}
    }
    credentials(options, &found)?;
    Ok(found)
}

/// What the class of Hadoop asks for must be there, and nothing that it passes over.
fn credentials(options: &Options, found: &S3Options) -> Result<()> {
    let Some(written) = options.opt_str(PROVIDER).filter(|text| !text.is_empty()) else { return Ok(()) };
    let class = written.trim().rsplit('.').next().unwrap_or_default();
    if WITH_KEYS.contains(&class) {
        if found.access_key.is_none() {
            return Err(option("access_key", &format!("is missing: {class} takes it from the job file")));
        }
        if class.starts_with("Temporary") && found.session_token.is_none() {
            return Err(property(TOKEN, "is missing: temporary credentials have three parts"));
        }
        return Ok(());
    }
    if !WITHOUT_KEYS.contains(&class) {
        return Err(option(PROVIDER, &format!("is {class}, which is not known")).hint(format!(
            "there are: {}, {}",
            WITH_KEYS.join(", "),
            WITHOUT_KEYS.join(", ")
        )));
    }
    if found.access_key.is_some() {
        return Err(option(PROVIDER, &format!("is {class}, which takes no keys from the job file"))
            .hint("use SimpleAWSCredentialsProvider, or leave out access_key and secret_key"));
    }
    Ok(())
}

fn endpoint(options: &Options) -> Result<Option<String>> {
    let Some(written) = options.opt_str("fs.s3a.endpoint").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match written.split_once("://") {
        None => Ok(Some(format!("https://{written}"))),
        Some(("http" | "https", host)) if !host.is_empty() && !host.contains('@') => {
            Ok(Some(written.to_owned()))
        }
        Some(_) => Err(option("fs.s3a.endpoint", "is not the address of a service")
            .hint("write https://HOST[:PORT], or http://HOST[:PORT] without TLS")),
    }
}

/// The region that the name of an endpoint of AWS has in it.
fn region_of(endpoint: &str) -> Option<String> {
    let host = endpoint.split_once("://")?.1.split(['/', ':']).next()?;
    let (name, _) = host.split_once(".amazonaws.com")?;
    let region = name.strip_prefix("s3.").or_else(|| name.strip_prefix("s3-"))?;
    Some(region.strip_prefix("dualstack.").unwrap_or(region).to_owned())
}

fn truth(key: &str, value: &str) -> Result<bool> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(property(key, "is neither true nor false")),
    }
}

fn property(key: &str, what: &str) -> culvert_api::Error {
    option(&format!("{PROPERTIES}.{key}"), what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::options::S3_FILE_OPTIONS;
    use crate::options::tests::resolved;

    fn options(block: &str) -> Options {
        resolved("S3File", S3_FILE_OPTIONS, &format!("path = \"/a\"\n{block}"))
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (block, named) in [
            ("bucket = \"s3a://\"", "'bucket' is not the name"),
            ("bucket = \"s3a://lake/raw\"", "folders in it belong to `path`"),
            ("bucket = b, access_key = k", "'secret_key' is missing"),
            ("bucket = b, secret_key = k", "'access_key' is missing"),
            ("bucket = b, fs.s3a.endpoint = \"ftp://h\"", "is not the address of a service"),
            (
                "bucket = b, fs.s3a.aws.credentials.provider = \"a.b.SimpleAWSCredentialsProvider\"",
                "'access_key' is missing",
            ),
            ("bucket = b, fs.s3a.aws.credentials.provider = \"a.b.Mine\"", "is Mine, which is not known"),
            (
                "bucket = b, access_key = k, secret_key = s, fs.s3a.aws.credentials.provider = TemporaryAWSCredentialsProvider",
                "fs.s3a.session.token' is missing",
            ),
            (
                "bucket = b, access_key = k, secret_key = s, fs.s3a.aws.credentials.provider = InstanceProfileCredentialsProvider",
                "takes no keys",
            ),
            (
                "bucket = b, hadoop_s3_properties { fs.s3a.encryption.key = x }",
                "fs.s3a.encryption.key' is not supported",
            ),
            (
                "bucket = b, hadoop_s3_properties { fs.s3a.path.style.access = perhaps }",
                "neither true nor false",
            ),
            (
                "bucket = b, hadoop_s3_properties { fs.s3a.connection.ssl.enabled = false }",
                "decided by the address",
            ),
        ] {
            let options = options(block);
            let error = bucket(&options).and_then(|_| service(&options)).unwrap_err().to_string();
            assert!(error.contains(named), "{block}: {error}");
        }
    }

    #[test]
    fn a_service_is_reached_as_it_is_written() {
        let found = service(&options(
            "bucket = \"s3a://lake\", access_key = k, secret_key = s\n\
             hadoop_s3_properties { fs.s3a.path.style.access = false, fs.s3a.session.token = t, fs.s3a.threads.max = 9 }\n\
             fs.s3a.endpoint = \"s3.cn-north-1.amazonaws.com.cn\"",
        ))
        .unwrap();
        assert_eq!(found.endpoint.as_deref(), Some("https://s3.cn-north-1.amazonaws.com.cn"));
        assert_eq!(found.region.as_deref(), Some("cn-north-1"));
        assert!(found.virtual_hosted && found.session_token.as_deref() == Some("t"));
        let plain = service(&options("bucket = lake, fs.s3a.endpoint = \"http://localhost:9000\"")).unwrap();
        assert_eq!(plain.endpoint.as_deref(), Some("http://localhost:9000"));
        assert!(plain.region.is_none() && plain.access_key.is_none() && !plain.virtual_hosted);
    }
}
