//! How a broker is set up.

use std::path::Path;

use super::{PASSWORD, Ports, USER};
use crate::certificates::Certificates;

/// What a test may ask for.
#[derive(Clone, Debug, Default)]
pub struct KafkaOptions {
    /// Whether there is a way in through a [`crate::Proxy`].
    pub proxied: bool,
    /// With these there is a way in by TLS.
    pub tls: Option<Certificates>,
    /// Further lines of its settings, which win over the defaults here.
    pub settings: Vec<(&'static str, String)>,
}

/// Warnings and errors, to the standard error.
pub(super) const LOGGING: &str = "log4j.rootLogger=WARN, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.target=System.err
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=%d %p %c %m%n
";

impl KafkaOptions {
    /// `server.properties`. Its internal topics have one partition each, so that they are made and
    /// loaded quickly.
    pub(super) fn properties(&self, ports: Ports, proxy: Option<u16>, data: &Path) -> String {
        let Ports { plain, behind_proxy, sasl, secure, controller } = ports;
        let by_tls = if self.tls.is_some() { format!(",SECURE://127.0.0.1:{secure}") } else { String::new() };
        let told = proxy.unwrap_or(behind_proxy);
        let data = data.display();
        let mut text = format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAIN://127.0.0.1:{plain},PROXIED://127.0.0.1:{behind_proxy},LOGIN://127.0.0.1:{sasl}{by_tls},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain},PROXIED://127.0.0.1:{told},LOGIN://127.0.0.1:{sasl}{by_tls}
listener.security.protocol.map=PLAIN:PLAINTEXT,PROXIED:PLAINTEXT,LOGIN:SASL_PLAINTEXT,SECURE:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAIN
sasl.enabled.mechanisms=PLAIN
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
log.dirs={data}
num.partitions=1
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=2097152
log.index.size.max.bytes=65536
num.network.threads=2
num.io.threads=2
controlled.shutdown.enable=false
"
        );
        if let Some(tls) = &self.tls {
            let inline = |path: &Path| {
                let pem =
                    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("no certificate: {error}"));
                pem.trim().replace('\n', "\\n")
            };
            let prefix = "listener.name.secure.ssl.keystore";
            text.push_str(&format!(
                "{prefix}.type=PEM\n{prefix}.certificate.chain={}\n{prefix}.key={}\n",
                inline(&tls.certificate),
                inline(&tls.key)
            ));
        }
        for (key, value) in &self.settings {
            text.push_str(&format!("{key}={value}\n"));
        }
        text
    }
}
