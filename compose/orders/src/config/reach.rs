//! Whether other processes can reach this one's admin endpoint, as far as the settings tell.

use std::net::IpAddr;

use super::Config;

impl Config {
    /// What is amiss with the address that others are told for queries of stores, where there may be others.
    pub(crate) fn reach_problem(&self) -> Option<String> {
        let brokers = self.kafka.as_deref()?;
        let Some(told) = &self.admin_advertised else {
            return Some(format!(
                "ADMIN_ADDR={} is no address to connect to, so queries of stores aren't passed on to this process: set \
                 ADMIN_ADVERTISED_ADDR",
                self.admin_addr
            ));
        };
        let is_alone = brokers.split(',').all(is_here);
        (is_here(told) && !is_alone).then(|| {
            format!(
                "processes on other machines can't reach {told}, which they are told for queries of stores: set \
                 ADMIN_ADVERTISED_ADDR"
            )
        })
    }
}

/// Whether a `host:port` means this machine, wherever it is read.
fn is_here(at: &str) -> bool {
    let at = at.trim();
    let host = at.rsplit_once(':').map_or(at, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::Env;
    use super::*;

    #[test]
    fn an_address_that_others_cannot_use_is_a_problem_where_there_may_be_others() {
        let problem = |pairs: &[(&str, &str)]| {
            Config::read(&Env::of(pairs)).unwrap().reach_problem().unwrap_or_default()
        };
        let (near, far) = (
            ("KAFKA_BROKERS", "localhost:9092"),
            ("KAFKA_BROKERS", "localhost:9092, kafka-2:9092"),
        );
        let (all, named) =
            (("ADMIN_ADDR", "0.0.0.0:9100"), ("ADMIN_ADVERTISED_ADDR", "worker-1:9100"));
        assert_eq!(problem(&[all]), "", "without Kafka there is one process");
        assert_eq!(problem(&[near]), "", "all on one machine");
        assert!(problem(&[far]).contains("can't reach 127.0.0.1:9100"));
        for brokers in [near, far] {
            assert!(problem(&[brokers, all]).starts_with("ADMIN_ADDR=0.0.0.0:9100 is no address"));
            assert_eq!(problem(&[brokers, all, named]), "");
        }
    }
}
