//! Startup and login: passwords in clear text, MD5 and SCRAM-SHA-256, tied to the TLS connection where
//! there is one ("Message Flow" and "SASL Authentication" in the manual).

use bytes::{Bytes, BytesMut};
use culvert_api::{Error, ErrorKind};
use culvert_postgres::Endpoint;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;

use super::failure::{Failure, ServerMessage};
use super::{REPLY_BYTES_MAX, Walsender};
use crate::pgoutput::wire::Wire;

/// Settings of a session that only newer servers know; in a startup message they would be refused.
const NOT_AT_STARTUP: &[&str] = &["idle_session_timeout", "transaction_timeout"];

/// Logs in and waits until the server takes commands.
pub(crate) async fn log_in(
    walsender: &mut Walsender,
    endpoint: &Endpoint,
    channel_binding: Option<Vec<u8>>,
) -> Result<(), Failure> {
    let mut parameters = vec![
        ("user", endpoint.user.as_str()),
        ("database", endpoint.database.as_str()),
        ("replication", "database"),
        ("application_name", endpoint.application_name.as_str()),
        ("client_encoding", "UTF8"),
    ];
    for (name, value) in endpoint.settings() {
        if !NOT_AT_STARTUP.contains(&name) {
            parameters.push((name, value));
        }
    }
    let mut message = BytesMut::new();
    frontend::startup_message(parameters, &mut message)?;
    walsender.send(&message).await?;
    let mut login = Login { endpoint, channel_binding, scram: None, proved: true };
    loop {
        let frame = walsender.reader.next(REPLY_BYTES_MAX).await?;
        match frame.tag {
            b'R' => match login.answer(frame.body)? {
                Answer::Send(message) => walsender.send(&message).await?,
                Answer::Nothing => {}
                Answer::LoggedIn => break,
            },
            b'E' => return Err(Failure::Refused(ServerMessage::parse(frame.body))),
            b'N' | b'v' => {}
            _ => return Err(Failure::Unexpected("no request for a login")),
        }
    }
    let frame = walsender.receive().await?;
    match frame.tag {
        b'Z' => Ok(()),
        b'E' => Err(Failure::Refused(ServerMessage::parse(frame.body))),
        _ => Err(Failure::Unexpected("no readiness after the login")),
    }
}

enum Answer {
    Send(BytesMut),
    Nothing,
    LoggedIn,
}

struct Login<'a> {
    endpoint: &'a Endpoint,
    channel_binding: Option<Vec<u8>>,
    scram: Option<ScramSha256>,
    /// The server has shown that it knows the password, or was not asked to.
    proved: bool,
}

impl Login<'_> {
    fn answer(&mut self, body: Bytes) -> Result<Answer, Failure> {
        let mut wire = Wire::new(body);
        let mut message = BytesMut::new();
        match wire.u32()? {
            0 if self.proved => return Ok(Answer::LoggedIn),
            0 => return Err(Failure::Unexpected("a login without its proof of the password")),
            3 => frontend::password_message(self.password()?, &mut message)?,
            5 => {
                let salt = wire.u32()?.to_be_bytes();
                let hash = md5_hash(self.endpoint.user.as_bytes(), self.password()?, salt);
                frontend::password_message(hash.as_bytes(), &mut message)?;
            }
            10 => self.begin_scram(wire, &mut message)?,
            11 => {
                let scram = self.scram.as_mut().ok_or(Failure::Unexpected("an unasked login"))?;
                scram.update(&wire.into_rest()).map_err(no_scram)?;
                frontend::sasl_response(scram.message(), &mut message)?;
            }
            12 => {
                let scram = self.scram.as_mut().ok_or(Failure::Unexpected("an unasked login"))?;
                scram.finish(&wire.into_rest()).map_err(no_scram)?;
                self.proved = true;
                return Ok(Answer::Nothing);
            }
            _ => return Err(unsupported().into()),
        }
        Ok(Answer::Send(message))
    }

    fn password(&self) -> Result<&[u8], Failure> {
        if self.endpoint.password.is_empty() {
            let error = Error::new(ErrorKind::Permission, "the server wants a password and none is set");
            return Err(error.hint("set the password of the source").into());
        }
        Ok(self.endpoint.password.expose().as_bytes())
    }

    fn begin_scram(&mut self, mut wire: Wire, message: &mut BytesMut) -> Result<(), Failure> {
        let (mut plain, mut plus) = (false, false);
        loop {
            match wire.string()?.as_str() {
                "" => break,
                SCRAM_SHA_256 => plain = true,
                SCRAM_SHA_256_PLUS => plus = true,
                _ => {}
            }
        }
        let (mechanism, binding) = match self.channel_binding.take() {
            Some(digest) if plus => (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(digest)),
            // The server has no binding to offer though we do: it will notice if somebody took it away.
            Some(_) if plain => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            None if plain => (SCRAM_SHA_256, ChannelBinding::unsupported()),
            _ => return Err(unsupported().into()),
        };
        let scram = ScramSha256::new(self.password()?, binding);
        frontend::sasl_initial_response(mechanism, scram.message(), message)?;
        self.scram = Some(scram);
        self.proved = false;
        Ok(())
    }
}

fn no_scram(cause: std::io::Error) -> Failure {
    let error = Error::new(ErrorKind::Permission, "the login by SCRAM failed").caused_by(cause);
    error.hint("check the password, and that this is the server it belongs to").into()
}

fn unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "the server wants a way of logging in that is not supported")
        .hint("let pg_hba.conf ask for scram-sha-256, md5, password or trust")
}
