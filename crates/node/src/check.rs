//! What no node could run, refused before anything has changed.

use std::collections::BTreeSet;

use http::{HeaderName, HeaderValue};
use prograde_model::FlightId;
use prograde_model::runtime::{Desired, RequestKey};

use crate::error::NodeError;
use crate::options::NodeOptions;

/// The name under which [`Node::addresses`](crate::Node::addresses) shows the preview's address.
pub(crate) const PREVIEW: &str = "preview";
/// Versions in one desired state, at most; a rollout has two.
const VERSIONS_MAX: usize = 10;
/// Each is looked at for every request.
const AUDIENCES_MAX: usize = 64;
/// Bytes of an audience's value: no cookie is longer in practice (RFC 6265, section 6.1).
const VALUE_BYTES_MAX: usize = 4096;
/// Bytes of a header's or cookie's name.
const NAME_BYTES_MAX: usize = 256;

/// Checks that `desired` does not contradict itself and keeps within the limits.
pub(crate) fn check(desired: &Desired, options: &NodeOptions) -> Result<(), NodeError> {
    let target = &desired.target;
    versions(desired)
        .and_then(|()| ports(desired))
        .and_then(|()| routing(desired))
        .map_err(|reason| NodeError::InvalidDesired { target: target.clone(), reason })?;
    let wanted: u64 = desired.versions.iter().map(|version| u64::from(version.replicas)).sum();
    if wanted > u64::from(options.replicas_max) {
        return Err(NodeError::TooManyReplicas { target: target.clone(), wanted, max: options.replicas_max });
    }
    Ok(())
}

fn versions(desired: &Desired) -> Result<(), String> {
    if desired.versions.len() > VERSIONS_MAX {
        return Err(format!("{} versions, at most {VERSIONS_MAX} can run", desired.versions.len()));
    }
    let mut revisions = BTreeSet::new();
    if let Some(twice) = desired.versions.iter().find(|version| !revisions.insert(&version.revision)) {
        return Err(format!("version {} is named twice", twice.revision));
    }
    let weights: u32 = desired.versions.iter().map(|version| u32::from(version.weight.percent())).sum();
    if weights != 0 && weights != 100 {
        return Err(format!("the weights sum to {weights}, not to 100"));
    }
    Ok(())
}

fn ports(desired: &Desired) -> Result<(), String> {
    let mut keys = BTreeSet::new();
    for port in desired.versions.first().into_iter().flat_map(|stable| &stable.workload.service_ports) {
        let key = port.name.clone().unwrap_or_else(|| port.port.to_string());
        if key == PREVIEW && desired.routing.preview.is_some() {
            return Err(format!("the Service has a port named {PREVIEW}, which is what the preview's is called"));
        }
        if !keys.insert(key.clone()) {
            return Err(format!("the Service has two ports {key}"));
        }
    }
    Ok(())
}

fn routing(desired: &Desired) -> Result<(), String> {
    let routing = &desired.routing;
    if routing.audiences.len() > AUDIENCES_MAX {
        return Err(format!("{} audiences, at most {AUDIENCES_MAX} can be told apart", routing.audiences.len()));
    }
    let known = |what: &str, revision: &FlightId| {
        let is_known = desired.versions.iter().any(|version| version.revision == *revision);
        if is_known { Ok(()) } else { Err(format!("{what} is for version {revision}, which is not to run")) }
    };
    for audience in &routing.audiences {
        known("an audience", &audience.version)?;
        key(&audience.key)?;
        let value = &audience.value;
        if value.len() > VALUE_BYTES_MAX || value.trim() != value || HeaderValue::try_from(value).is_err() {
            return Err("an audience has a value that no request can have".to_owned());
        }
    }
    routing.sticky.as_ref().map_or(Ok(()), key)?;
    routing.mirror.as_ref().map_or(Ok(()), |mirror| known("the mirror", &mirror.version))?;
    routing.preview.as_ref().map_or(Ok(()), |preview| known("the preview", preview))
}

fn key(key: &RequestKey) -> Result<(), String> {
    let (what, name) = match key {
        RequestKey::Header(name) => ("header", name),
        RequestKey::Cookie(name) => ("cookie", name),
    };
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("a {what}'s name has {} bytes, at most {NAME_BYTES_MAX} are looked for", name.len()));
    }
    // A cookie's name is a token, as a header's is (RFC 6265, section 4.1.1).
    if HeaderName::try_from(name).is_err() {
        return Err(format!("{name:?} is no name of a {what}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prograde_model::runtime::{Audience, DesiredVersion, Mirror, Routing};
    use prograde_model::{Target, Weight};

    use super::*;
    use crate::testing::workload;

    fn revision(name: u8) -> FlightId {
        FlightId::from_random([name; 16]).unwrap()
    }

    fn desired(routing: Routing) -> Desired {
        let stable = DesiredVersion {
            revision: revision(1),
            digest: format!("sha256:{}", "a".repeat(64)).parse().unwrap(),
            workload: workload(),
            replicas: 1,
            weight: Weight::ALL,
        };
        let target = Target { environment: "staging".parse().unwrap(), service: "pad".parse().unwrap() };
        Desired { target, versions: vec![stable], routing }
    }

    fn refusal(desired: &Desired) -> Option<String> {
        check(desired, &NodeOptions::new("unused")).err().map(|error| error.to_string())
    }

    fn audience(key: RequestKey, value: &str, version: u8) -> Audience {
        Audience { key, value: value.to_owned(), version: revision(version) }
    }

    #[test]
    fn routing_that_can_not_be_followed_is_refused() {
        let header = |name: &str| RequestKey::Header(name.to_owned());
        let cookie = |name: &str| RequestKey::Cookie(name.to_owned());
        let audiences = |audiences: Vec<Audience>| Routing { audiences, ..Routing::default() };
        let sticky = |key| Routing { sticky: Some(key), ..Routing::default() };
        let mirror = Some(Mirror { version: revision(2), share: Weight::ALL });
        let cases = [
            (audiences(vec![audience(header("x"), "y", 2)]), "an audience is for version 0202"),
            (audiences(vec![audience(header(""), "y", 1)]), "\"\" is no name of a header"),
            (audiences(vec![audience(cookie("a b"), "y", 1)]), "\"a b\" is no name of a cookie"),
            (audiences(vec![audience(header("x"), "a\nb", 1)]), "a value that no request can have"),
            (audiences(vec![audience(header("x"), " a", 1)]), "a value that no request can have"),
            (audiences(vec![audience(header("x"), &"y".repeat(4097), 1)]), "a value that no request can have"),
            (audiences(vec![audience(header("x"), "y", 1); 65]), "65 audiences, at most 64"),
            (sticky(cookie("")), "\"\" is no name of a cookie"),
            (sticky(header("x:y")), "\"x:y\" is no name of a header"),
            (sticky(header(&"x".repeat(257))), "a header's name has 257 bytes, at most 256"),
            (Routing { mirror, ..Routing::default() }, "the mirror is for version 0202"),
            (Routing { preview: Some(revision(2)), ..Routing::default() }, "the preview is for version 0202"),
        ];
        for (routing, reason) in cases {
            let refused = refusal(&desired(routing.clone())).unwrap_or_default();
            assert!(refused.contains(reason) && refused.len() < 250, "{routing:?}: {refused}");
        }
    }

    #[test]
    fn routing_that_can_be_followed_is_not() {
        let audiences = vec![
            audience(RequestKey::Header("X-Group".to_owned()), "", 1),
            audience(RequestKey::Cookie("beta".to_owned()), "yes", 1),
        ];
        let mirror = Some(Mirror { version: revision(1), share: Weight::ZERO });
        let sticky = Some(RequestKey::Cookie("user".to_owned()));
        let routing = Routing { audiences, sticky, mirror, preview: Some(revision(1)) };
        assert_eq!(refusal(&desired(routing)), None);
    }

    #[test]
    fn a_port_that_is_called_as_the_preview_is_refused_only_beside_one() {
        let mut desired = desired(Routing::default());
        desired.versions[0].workload.service_ports[0].name = Some(PREVIEW.to_owned());
        assert_eq!(refusal(&desired), None);
        desired.routing.preview = Some(revision(1));
        assert!(refusal(&desired).unwrap().contains("a port named preview"));
    }
}
