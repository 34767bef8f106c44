//! A look at each member of etcd for an operator.

use etcd_client::Client;

use super::link::options;
use crate::config::EtcdSettings;

/// A member as it answered, or why it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its URL, as configured.
    pub endpoint: String,
    /// Whether it knows a leader, without which there is no quorum; or why there is no answer.
    pub has_leader: Result<bool, String>,
}

/// Asks every configured member for its state, one after the other, each for at most the request timeout.
pub async fn probe(settings: &EtcdSettings) -> Vec<Member> {
    let mut members = Vec::new();
    for endpoint in &settings.endpoints {
        let answer = tokio::time::timeout(settings.request_timeout, leader(settings, endpoint)).await;
        let has_leader = answer
            .unwrap_or_else(|_| Err(format!("no answer within {} ms", settings.request_timeout.as_millis())));
        members.push(Member { endpoint: endpoint.clone(), has_leader });
    }
    members
}

async fn leader(settings: &EtcdSettings, endpoint: &str) -> Result<bool, String> {
    let options = options(settings).await.map_err(|error| error.to_string())?;
    let mut client = Client::connect([endpoint], Some(options)).await.map_err(|error| error.to_string())?;
    // Asked of the member itself, and answered with or without a quorum.
    let status = client.status().await.map_err(|error| error.to_string())?;
    Ok(status.leader() != 0)
}
