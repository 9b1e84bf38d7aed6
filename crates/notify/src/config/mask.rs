//! The configuration as it may be shown.

use prograde_yaml::{Node, Value};
use serde_json::{Map, Value as Json};

/// Fields whose value nobody should see, wherever they stand.
const SECRETS: [&str; 21] = [
    "access_token",
    "api_key",
    "api_secret",
    "api_url",
    "opsgenie_api_key",
    "auth_password",
    "auth_secret",
    "bearer_token",
    "client_secret",
    "credentials",
    "password",
    "proxy_url",
    "routing_key",
    "service_key",
    "slack_api_url",
    "smtp_auth_password",
    "smtp_auth_secret",
    "token",
    "user_key",
    "victorops_api_key",
    "wechat_api_secret",
];

/// As JSON, with `<secret>` where one stands. A webhook's address is one: it often holds a token.
pub(super) fn shown(node: &Node) -> Json {
    match &node.value {
        Value::Mapping(entries) => Json::Object(
            entries
                .iter()
                .map(|(key, value)| {
                    let is_secret = SECRETS.contains(&key.name.as_str()) && !matches!(value.value, Value::Null);
                    let value = if is_secret { Json::String("<secret>".into()) } else { shown(value) };
                    (key.name.clone(), if key.name == "webhook_configs" { without_addresses(value) } else { value })
                })
                .collect::<Map<_, _>>(),
        ),
        Value::Sequence(items) => Json::Array(items.iter().map(shown).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => node.to_json(),
    }
}

/// A webhook's address without what may be secret in it: its user, path and query.
fn without_addresses(mut webhooks: Json) -> Json {
    for webhook in webhooks.as_array_mut().into_iter().flatten() {
        if let Some(Json::String(url)) = webhook.get_mut("url")
            && let Some((scheme, rest)) = url.split_once("://")
        {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            *url = format!("{scheme}://{host}/<secret>");
        }
    }
    webhooks
}
