//! Pushing and pulling, the ordinary ways and the rare ones.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{INDEX, MANIFEST, Served, body, document, header, refuses, sha256, sha512};

#[test]
fn a_blob_comes_in_chunks_is_resumed_after_a_restart_and_goes_out_in_parts() {
    let served = Served::new();
    let begun = served.call("POST", "/v2/pad/blobs/uploads/", &[], b"");
    assert_eq!(begun.status(), 202);
    let location = header(&begun, "location");
    let patch =
        |served: &Served, range: &str, part: &[u8]| served.call("PATCH", &location, &[("content-range", range)], part);
    let first = patch(&served, "0-4", b"hello");
    assert_eq!((first.status().as_u16(), header(&first, "range")), (202, "0-4".to_owned()));
    let gap = patch(&served, "7-8", b"ab");
    assert_eq!(header(&gap, "range"), "0-4");
    refuses(gap, 416, "BLOB_UPLOAD_INVALID");
    refuses(patch(&served, "0-4", b"hello"), 416, "BLOB_UPLOAD_INVALID");
    refuses(patch(&served, "5-9", b"ab"), 400, "SIZE_INVALID");
    refuses(patch(&served, "x", b"ab"), 400, "BLOB_UPLOAD_INVALID");

    let served = served.restart();
    let status = served.get(&location);
    assert_eq!((status.status().as_u16(), header(&status, "range")), (204, "0-4".to_owned()));
    assert_eq!(patch(&served, "5-6", b", ").status(), 202);
    let digest = sha256(b"hello, world");
    let done = served.call("PUT", &format!("{location}?digest={digest}"), &[("content-range", "7-11")], b"world");
    assert_eq!((done.status().as_u16(), header(&done, "docker-content-digest")), (201, digest.clone()));
    let at = header(&done, "location");
    assert_eq!(body(served.get(&at)), b"hello, world");
    let part = served.call("GET", &at, &[("range", "bytes=7-")], b"");
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, "bytes 7-11/12".to_owned()));
    assert_eq!(body(part), b"world");
    let outside = served.call("GET", &at, &[("range", "bytes=12-")], b"");
    assert_eq!((outside.status().as_u16(), header(&outside, "content-range")), (416, "bytes */12".to_owned()));
    let head = served.call("HEAD", &at, &[], b"");
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, "12".to_owned()));
    assert_eq!(served.call("GET", &at, &[("if-none-match", &format!("\"{digest}\""))], b"").status(), 304);
    refuses(served.get(&location), 404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn a_large_blob_passes_in_pieces_with_either_hash() {
    let served = Served::new();
    let content: Vec<u8> = (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for digest in [sha256(&content), sha512(&content)] {
        let location = header(&served.call("POST", "/v2/pad/blobs/uploads/", &[], b""), "location");
        assert_eq!(served.call("PUT", &format!("{location}?digest={digest}"), &[], &content).status(), 201);
        assert!(body(served.get(&format!("/v2/pad/blobs/{digest}"))) == content, "{digest}");
        assert!(served.blob_path(&digest).exists());
    }
}

#[test]
fn an_upload_is_cancelled_and_belongs_to_its_repository() {
    let served = Served::new();
    let location = header(&served.call("POST", "/v2/pad/blobs/uploads/", &[], b""), "location");
    let elsewhere = location.replace("/pad/", "/other/");
    refuses(served.call("PATCH", &elsewhere, &[], b"x"), 404, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(served.call("DELETE", &location, &[], b"").status(), 204);
    refuses(served.call("PATCH", &location, &[], b"x"), 404, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(std::fs::read_dir(served.dir().join("uploads")).unwrap().count(), 0);
}

#[test]
fn blobs_are_mounted_and_are_otherwise_a_repositorys_own() {
    let served = Served::new();
    let digest = served.push_blob("one", b"shared")["digest"].as_str().unwrap().to_owned();
    refuses(served.get(&format!("/v2/two/blobs/{digest}")), 404, "NAME_UNKNOWN");
    let mounted = served.call("POST", &format!("/v2/two/blobs/uploads/?mount={digest}&from=one"), &[], b"");
    assert_eq!((mounted.status().as_u16(), header(&mounted, "location")), (201, format!("/v2/two/blobs/{digest}")));
    assert_eq!(body(served.get(&format!("/v2/two/blobs/{digest}"))), b"shared");
    let anonymous = served.call("POST", &format!("/v2/three/blobs/uploads/?mount={digest}"), &[], b"");
    assert_eq!(anonymous.status(), 201);
    let unknown = sha256(b"unknown");
    for from in ["&from=one", "&from=nowhere", ""] {
        let fallback = served.call("POST", &format!("/v2/two/blobs/uploads/?mount={unknown}{from}"), &[], b"");
        assert_eq!(fallback.status(), 202, "{from}");
        assert_eq!(
            served
                .call("PUT", &format!("{}?digest={unknown}", header(&fallback, "location")), &[], b"unknown")
                .status(),
            201
        );
        assert_eq!(served.call("DELETE", &format!("/v2/two/blobs/{unknown}"), &[], b"").status(), 202);
    }
}

#[test]
fn a_manifest_needs_what_it_names_but_its_subject() {
    let served = Served::new();
    let mut image = served.image("pad", "layer");
    let missing = sha256(b"missing");
    let put = |manifest: &Value| {
        served.call("PUT", "/v2/pad/manifests/v1", &[("content-type", MANIFEST)], manifest.to_string().as_bytes())
    };
    let mut lacking = image.clone();
    lacking["layers"][0]["digest"] = json!(missing);
    let message = refuses(put(&lacking), 400, "MANIFEST_BLOB_UNKNOWN");
    assert!(message.contains(&missing), "{message}");
    let mut lying = image.clone();
    lying["layers"][0]["size"] = json!(1);
    refuses(put(&lying), 400, "SIZE_INVALID");
    refuses(served.get("/v2/pad/manifests/v1"), 404, "MANIFEST_UNKNOWN");
    // Foreign layers are to be had elsewhere.
    lacking["layers"][0]["mediaType"] = json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    assert_eq!(put(&lacking).status(), 201);
    image["subject"] = json!({ "mediaType": MANIFEST, "digest": missing, "size": 7 });
    let stored = put(&image);
    assert_eq!((stored.status().as_u16(), header(&stored, "oci-subject")), (201, missing));
    // An index needs its images.
    let index = |digest: &str, size: usize| {
        json!({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": [{ "mediaType": MANIFEST, "digest": digest, "size": size }],
        })
    };
    let lacking = index(&sha256(b"nothing"), 7).to_string();
    let put = served.call("PUT", "/v2/pad/manifests/all", &[("content-type", INDEX)], lacking.as_bytes());
    refuses(put, 400, "MANIFEST_BLOB_UNKNOWN");
    let text = image.to_string();
    served.push_manifest("pad", "all", &index(&sha256(text.as_bytes()), text.len()));
    // What is needed stays.
    let digest = sha256(text.as_bytes());
    refuses(served.call("DELETE", &format!("/v2/pad/manifests/{digest}"), &[], b""), 405, "DENIED");
    let layer = image["layers"][0]["digest"].as_str().unwrap();
    refuses(served.call("DELETE", &format!("/v2/pad/blobs/{layer}"), &[], b""), 405, "DENIED");
}

#[test]
fn a_digest_of_either_kind_names_a_manifest() {
    let served = Served::new();
    let image = served.image("pad", "a").to_string();
    let digest = sha512(image.as_bytes());
    let put =
        served.call("PUT", &format!("/v2/pad/manifests/{digest}"), &[("content-type", MANIFEST)], image.as_bytes());
    assert_eq!((put.status().as_u16(), header(&put, "docker-content-digest")), (201, digest.clone()));
    let got = served.get(&format!("/v2/pad/manifests/{digest}"));
    assert_eq!(header(&got, "content-type"), MANIFEST);
    assert_eq!(body(got), image.as_bytes());
    let wrong = format!("/v2/pad/manifests/{}", sha256(b"other"));
    refuses(served.call("PUT", &wrong, &[("content-type", MANIFEST)], image.as_bytes()), 400, "DIGEST_INVALID");
}

#[test]
fn tags_come_in_pages_in_the_specifications_order() {
    let served = Served::new();
    for tag in ["b", "C", "a", "_x", "1"] {
        served.push_image("pad", tag, "same");
    }
    let list = |query: &str| served.get(&format!("/v2/pad/tags/list{query}"));
    assert_eq!(document(list("")), json!({ "name": "pad", "tags": ["1", "_x", "a", "b", "C"] }));
    let (mut found, mut next) = (Vec::new(), "/v2/pad/tags/list?n=2".to_owned());
    loop {
        let page = served.get(&next);
        let link = header(&page, "link");
        found.push(document(page)["tags"].clone());
        let Some((path, _)) = link.strip_prefix('<').and_then(|link| link.split_once('>')) else { break };
        next = path.to_owned();
    }
    assert_eq!(found, [json!(["1", "_x"]), json!(["a", "b"]), json!(["C"])]);
    let none = list("?n=0");
    assert_eq!((header(&none, "link"), document(none)["tags"].clone()), (String::new(), json!([])));
    assert_eq!(document(list("?last=a"))["tags"], json!(["b", "C"]));
    assert_eq!(document(list("?last=aa&n=1"))["tags"], json!(["b"]), "what is not there still has its place");
    refuses(list("?n=-1"), 400, "PAGINATION_NUMBER_INVALID");
    refuses(served.get("/v2/nowhere/tags/list"), 404, "NAME_UNKNOWN");
    for name in ["z", "a/b"] {
        served.push_blob(name, b"x");
    }
    assert_eq!(document(served.get("/v2/_catalog?n=2"))["repositories"], json!(["a/b", "pad"]));
    assert_eq!(document(served.get("/v2/_catalog?n=2&last=pad"))["repositories"], json!(["z"]));
}

#[test]
fn referrers_are_listed_filtered_and_paged() {
    let served = Served::new();
    let subject = served.push_image("pad", "v1", "a");
    let list = |query: &str| served.get(&format!("/v2/pad/referrers/{subject}{query}"));
    let empty = list("");
    assert_eq!(header(&empty, "content-type"), INDEX);
    assert_eq!(document(empty)["manifests"], json!([]));
    let mut digests: Vec<String> = ["sbom", "sbom", "signature"]
        .iter()
        .enumerate()
        .map(|(number, kind)| {
            let mut manifest = served.image("pad", "a");
            manifest["artifactType"] = json!(format!("application/{kind}"));
            manifest["annotations"] = json!({ "number": number.to_string() });
            manifest["subject"] = json!({ "mediaType": MANIFEST, "digest": subject, "size": 7 });
            served.push_manifest("pad", &sha256(manifest.to_string().as_bytes()), &manifest)
        })
        .collect();
    digests.sort();
    let all = document(list(""));
    let found = |document: &Value| -> Vec<String> {
        document["manifests"].as_array().unwrap().iter().map(|one| one["digest"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found(&all), digests);
    assert!(all["manifests"][0]["annotations"]["number"].is_string());
    let filtered = list("?artifactType=application/sbom");
    assert_eq!(header(&filtered, "oci-filters-applied"), "artifactType");
    assert_eq!(found(&document(filtered)).len(), 2);
    let page = list("?n=2");
    assert!(header(&page, "link").contains("rel=\"next\""));
    assert_eq!(found(&document(page)), digests[..2]);
    assert_eq!(found(&document(list(&format!("?last={}", digests[1])))), digests[2..]);
    refuses(served.get("/v2/pad/referrers/sha256:bad"), 400, "DIGEST_INVALID");
    assert_eq!(document(served.get(&format!("/v2/nowhere/referrers/{subject}")))["manifests"], json!([]));
}

#[test]
fn what_is_deleted_is_gone_by_every_name() {
    let served = Served::new();
    let digest = served.push_image("pad", "v1", "a");
    served.push_image("pad", "v2", "a");
    assert_eq!(served.call("DELETE", "/v2/pad/manifests/v1", &[], b"").status(), 202);
    refuses(served.get("/v2/pad/manifests/v1"), 404, "MANIFEST_UNKNOWN");
    assert_eq!(served.get("/v2/pad/manifests/v2").status(), 200);
    assert_eq!(served.call("DELETE", &format!("/v2/pad/manifests/{digest}"), &[], b"").status(), 202);
    for path in ["/v2/pad/manifests/v2".to_owned(), format!("/v2/pad/manifests/{digest}")] {
        refuses(served.get(&path), 404, "MANIFEST_UNKNOWN");
        refuses(served.call("DELETE", &path, &[], b""), 404, "MANIFEST_UNKNOWN");
    }
    assert_eq!(document(served.get("/v2/pad/tags/list"))["tags"], json!([]));
    refuses(served.call("POST", "/v2/pad/manifests/v1", &[], b""), 405, "UNSUPPORTED");
    refuses(served.get("/v2/pad/manifests/.x"), 404, "MANIFEST_UNKNOWN");
    refuses(served.call("PUT", "/v2/pad/manifests/.x", &[], b"{}"), 400, "MANIFEST_INVALID");
}

#[test]
fn tags_that_are_immutable_can_be_set_once() {
    let served = Served::with(|settings| settings.immutable_tags = Some(r"v\d+".to_owned()), |hooks| hooks);
    let first = served.push_image("pad", "v1", "a");
    served.push_image("pad", "v1", "a");
    let other = served.image("pad", "b").to_string();
    let put = |tag: &str| {
        served.call("PUT", &format!("/v2/pad/manifests/{tag}"), &[("content-type", MANIFEST)], other.as_bytes())
    };
    let message = refuses(put("v1"), 403, "DENIED");
    assert!(message.contains("push under another tag"), "{message}");
    assert_eq!(put("v1-rc").status(), 201);
    for reference in ["v1", &first] {
        refuses(served.call("DELETE", &format!("/v2/pad/manifests/{reference}"), &[], b""), 403, "DENIED");
    }
}

#[test]
fn many_tags_are_no_burden() {
    let served = Served::new();
    let digest = served.push_image("pad", "v1", "a");
    let path = served.dir().join("registry.db");
    // Put in past the registry: a hundred thousand pushes would take long.
    let tags = (0..100_000).fold(String::new(), |mut text, number| {
        let _ = write!(text, "{}(1, 't{number:06}', '{digest}', 0, 0)", if text.is_empty() { "" } else { "," });
        text
    });
    rusqlite::Connection::open(path).unwrap().execute(&format!("INSERT INTO tag VALUES {tags}"), []).unwrap();
    let page = served.get("/v2/pad/tags/list?n=100&last=t050000");
    assert!(header(&page, "link").contains("last=t050100"));
    assert_eq!(document(page)["tags"][0], "t050001");
    let whole = served.get("/v2/pad/tags/list");
    assert!(header(&whole, "link").contains("rel=\"next\""));
    assert_eq!(document(whole)["tags"].as_array().unwrap().len(), 10_000);
}
