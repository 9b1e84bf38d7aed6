//! Who may, and what else has to agree.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prograde_supply::registry::{
    Access, Action, Admission, Anonymous, Hooks, OneToken, Pulled, Pushed, Refusal, Shown,
};

use super::{MANIFEST, Served, TOKEN, body, document, header, refuses};

#[test]
fn nobody_is_let_in_without_the_token() {
    let served = Served::new();
    for path in
        ["/v2/", "/v2", "/v2/_catalog", "/v2/pad/tags/list", "/v2/pad/manifests/x", "/v2/nonsense", "/v2/A/tags/list"]
    {
        let answer = served.call("GET", path, &[("authorization", "Bearer wrong")], b"");
        assert_eq!(header(&answer, "www-authenticate"), "Basic realm=\"prograde\"", "{path}");
        refuses(answer, 401, "UNAUTHORIZED");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let answer = served.call(method, "/v2/pad/blobs/uploads/", &[("authorization", "x")], b"");
        assert_eq!(answer.status(), 401, "{method}");
    }
    let basic = format!("Basic {}", STANDARD.encode(format!("me:{TOKEN}")));
    let answer = served.call("GET", "/v2/", &[("authorization", &basic)], b"");
    assert_eq!(header(&answer, "docker-distribution-api-version"), "registry/2.0");
    assert_eq!((answer.status().as_u16(), body(answer)), (200, b"{}".to_vec()));
}

#[test]
fn who_may_pull_is_not_who_may_push() {
    let served =
        Served::with(|_| {}, |hooks| Hooks { authorize: Arc::new(OneToken::new(TOKEN, Anonymous::Pull)), ..hooks });
    let digest = served.push_image("pad", "v1", "a");
    let nobody = [("authorization", "")];
    assert_eq!(served.call("GET", "/v2/pad/manifests/v1", &nobody, b"").status(), 200);
    assert_eq!(served.call("GET", "/v2/_catalog", &nobody, b"").status(), 200);
    for (method, path) in [
        ("POST", "/v2/pad/blobs/uploads/".to_owned()),
        ("PUT", "/v2/pad/manifests/v2".to_owned()),
        ("DELETE", format!("/v2/pad/manifests/{digest}")),
        ("POST", "/v2/_prograde/garbage/collect".to_owned()),
    ] {
        refuses(served.call(method, &path, &nobody, b"x"), 401, "UNAUTHORIZED");
    }
}

#[test]
fn a_closure_decides_by_repository() {
    let decide = |_: &Shown, action: &Action<'_>| {
        if matches!(action, Action::Pull(name) if name.as_str() == "secret") {
            Access::Denied("`secret` is not yours: ask its owners".into())
        } else {
            Access::Allowed
        }
    };
    let served = Served::with(|_| {}, |hooks| Hooks { authorize: Arc::new(decide), ..hooks });
    let image = served.image("secret", "hidden");
    served.push_manifest("secret", "v1", &image);
    served.push_image("open", "v1", "a");
    let message = refuses(served.get("/v2/secret/manifests/v1"), 403, "DENIED");
    assert_eq!(message, "`secret` is not yours: ask its owners");
    assert_eq!(document(served.get("/v2/_catalog"))["repositories"], serde_json::json!(["open"]));
    // Neither by name nor by guessing can a blob be taken out of what may not be pulled from.
    let layer = image["layers"][0]["digest"].as_str().unwrap();
    for from in ["&from=secret", ""] {
        let answer = served.call("POST", &format!("/v2/open/blobs/uploads/?mount={layer}{from}"), &[], b"");
        assert_eq!(answer.status(), 202, "{from}");
    }
    refuses(served.get(&format!("/v2/open/blobs/{layer}")), 404, "BLOB_UNKNOWN");
}

struct Quarantine(String);

#[async_trait]
impl Admission for Quarantine {
    async fn push(&self, manifest: &Pushed<'_>) -> Result<(), Refusal> {
        if manifest.repository.as_str() == "frozen" {
            return Err(Refusal::new(format!("{} is frozen until Monday", manifest.repository)));
        }
        assert_eq!(manifest.media_type, MANIFEST);
        Ok(())
    }

    async fn pull(&self, manifest: &Pulled<'_>) -> Result<(), Refusal> {
        let held = manifest.digest.as_str() == self.0;
        if held { Err(Refusal::new(format!("{} is in quarantine", manifest.digest))) } else { Ok(()) }
    }
}

#[test]
fn what_is_refused_is_neither_pushed_nor_pulled() {
    let probe = Served::new();
    let bad = probe.push_image("pad", "v1", "bad");
    let admission = Arc::new(Quarantine(bad.clone()));
    let served = Served::with(|_| {}, |hooks| Hooks { admission, ..hooks });
    served.push_image("pad", "bad", "bad");
    served.push_image("pad", "good", "good");
    assert_eq!(served.get("/v2/pad/manifests/good").status(), 200);
    for reference in ["bad", &bad] {
        let path = format!("/v2/pad/manifests/{reference}");
        assert_eq!(served.call("HEAD", &path, &[], b"").status(), 403);
        let message = refuses(served.get(&path), 403, "DENIED");
        assert_eq!(message, format!("{bad} is in quarantine"));
    }
    // Nor as a blob.
    refuses(served.get(&format!("/v2/pad/blobs/{bad}")), 404, "BLOB_UNKNOWN");
    let image = served.image("frozen", "x");
    let answer =
        served.call("PUT", "/v2/frozen/manifests/v1", &[("content-type", MANIFEST)], image.to_string().as_bytes());
    refuses(answer, 403, "DENIED");
    refuses(served.get("/v2/frozen/manifests/v1"), 404, "MANIFEST_UNKNOWN");
}
