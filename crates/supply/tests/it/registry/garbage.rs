//! Collecting garbage, beside pushes too.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use prograde_supply::registry::{Collect, Collected};
use serde_json::json;

use super::{MANIFEST, Served, body, document, refuses, sha256};

const HOUR: Duration = Duration::from_hours(1);

impl Served {
    fn collect(&self, untagged: bool, dry_run: bool) -> Collected {
        self.runtime.block_on(self.registry.collect(Collect { grace: HOUR, untagged, dry_run })).unwrap()
    }
}

#[test]
fn what_nothing_needs_goes_and_the_rest_stays() {
    let served = Served::new();
    served.push_image("pad", "v1", "kept");
    let loose = served.push_blob("pad", b"loose")["digest"].as_str().unwrap().to_owned();
    let untagged =
        served.push_image("pad", &sha256(served.image("pad", "untagged").to_string().as_bytes()), "untagged");
    let orphan = sha256(b"orphan");
    std::fs::write(served.blob_path(&orphan), b"orphan").unwrap();
    std::fs::write(served.dir().join("blobs/sha256/README"), b"not ours").unwrap();
    assert_eq!(served.collect(true, false), Collected::default(), "all of it is young");

    served.later(2 * HOUR);
    let would = served.collect(false, true);
    assert_eq!((would.blobs, would.files, would.bytes), (1, 2, 11));
    assert!(served.blob_path(&loose).exists());
    assert_eq!(served.collect(false, false), would);
    assert!(!served.blob_path(&loose).exists() && !served.blob_path(&orphan).exists());
    refuses(served.get(&format!("/v2/pad/blobs/{loose}")), 404, "BLOB_UNKNOWN");
    assert_eq!(served.get(&format!("/v2/pad/manifests/{untagged}")).status(), 200);

    let gone = served.collect(true, false);
    assert_eq!((gone.manifests, gone.blobs, gone.files), (1, 1, 2));
    refuses(served.get(&format!("/v2/pad/manifests/{untagged}")), 404, "MANIFEST_UNKNOWN");
    assert_eq!(body(served.get(&format!("/v2/pad/blobs/{}", sha256(b"kept")))), b"kept");
    assert!(served.dir().join("blobs/sha256/README").exists());
}

#[test]
fn a_blob_that_a_client_was_told_of_stays_for_a_while() {
    let served = Served::new();
    let digest = served.push_blob("pad", b"layer")["digest"].as_str().unwrap().to_owned();
    served.later(2 * HOUR);
    assert_eq!(served.call("HEAD", &format!("/v2/pad/blobs/{digest}"), &[], b"").status(), 200);
    assert_eq!(served.collect(false, false).blobs, 0);
    served.later(2 * HOUR);
    assert_eq!(served.collect(false, false).blobs, 1);
    assert_eq!(served.call("HEAD", &format!("/v2/pad/blobs/{digest}"), &[], b"").status(), 404);
}

#[test]
fn what_is_about_an_image_stays_with_it() {
    let served = Served::new();
    let subject = served.push_image("pad", "v1", "a");
    let mut signature = served.image("pad", "signature");
    signature["subject"] = json!({ "mediaType": MANIFEST, "digest": subject, "size": 7 });
    let digest = served.push_manifest("pad", &sha256(signature.to_string().as_bytes()), &signature);
    served.later(2 * HOUR);
    assert_eq!(served.collect(true, false).manifests, 0);
    served.call("DELETE", "/v2/pad/manifests/v1", &[], b"");
    assert_eq!(served.collect(true, true).manifests, 1, "a rehearsal sees one step");
    assert_eq!(served.collect(true, false).manifests, 2);
    refuses(served.get(&format!("/v2/pad/manifests/{digest}")), 404, "NAME_UNKNOWN");
    assert_eq!(document(served.get("/v2/_catalog"))["repositories"], json!([]));
}

#[test]
fn given_up_uploads_expire() {
    let served = Served::new();
    served.call("POST", "/v2/pad/blobs/uploads/", &[], b"");
    assert_eq!(served.collect(false, false).uploads, 0);
    served.later(Duration::from_hours(25));
    assert_eq!(served.collect(false, true).uploads, 0, "a rehearsal changes nothing");
    assert_eq!(served.collect(false, false).uploads, 1);
    assert_eq!(std::fs::read_dir(served.dir().join("uploads")).unwrap().count(), 0);
}

/// Without any grace a blob may go between its push and its manifest's: then the manifest is refused. One that is accepted
/// has everything, whatever is collected meanwhile.
#[test]
fn collections_and_pushes_go_on_beside_each_other() {
    let served = Served::new();
    let (stop, accepted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let push = |client: usize, round: usize| {
        let image = served.image(&format!("r{client}"), &format!("layer {}", round % 3));
        let path = format!("/v2/r{client}/manifests/latest");
        let put = served.call("PUT", &path, &[("content-type", MANIFEST)], image.to_string().as_bytes());
        if put.status() != 201 {
            refuses(put, 400, "MANIFEST_BLOB_UNKNOWN");
            return;
        }
        accepted.fetch_add(1, Ordering::Relaxed);
        let layer = image["layers"][0]["digest"].as_str().unwrap();
        for path in [path, format!("/v2/r{client}/blobs/{layer}")] {
            assert_eq!(served.get(&path).status(), 200, "{path}");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let all = Collect { grace: Duration::ZERO, untagged: true, dry_run: false };
            while !stop.load(Ordering::Relaxed) {
                served.runtime.block_on(served.registry.collect(all)).unwrap();
            }
        });
        let push = &push;
        let clients: Vec<_> =
            (0..4).map(|client| scope.spawn(move || (0..12).for_each(|round| push(client, round)))).collect();
        let ended: Vec<_> = clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        for client in ended {
            client.unwrap();
        }
    });
    // And when all is quiet, a push passes.
    push(9, 0);
    assert!(accepted.load(Ordering::Relaxed) > 0);
}

#[test]
fn it_is_asked_for_over_http() {
    let served = Served::new();
    served.push_blob("pad", b"loose");
    let path = "/v2/_prograde/garbage/collect";
    refuses(served.call("POST", path, &[("authorization", "x")], b""), 401, "UNAUTHORIZED");
    refuses(served.get(path), 405, "UNSUPPORTED");
    refuses(served.call("POST", &format!("{path}?grace-seconds=x"), &[], b""), 400, "PAGINATION_NUMBER_INVALID");
    served.later(2 * HOUR);
    let would = document(served.call("POST", &format!("{path}?grace-seconds=3600&dry-run=true"), &[], b""));
    assert_eq!(would, json!({ "manifests": 0, "blobs": 1, "files": 1, "bytes": 5, "uploads": 0 }));
    assert_eq!(document(served.call("POST", &format!("{path}?grace-seconds=3600"), &[], b"")), would);
}
