//! What a program of almost any kind expects around itself, and nothing else: the authorities that it trusts, the time
//! zones, a user without rights and a place for temporary files. All of it comes from this machine.

use std::path::Path;

use super::entries::Layer;
use crate::error::SupplyError;
use crate::limits::Limits;

/// Where systems keep the bundle of certificates (Debian, Fedora, openSUSE, Alpine).
const CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Where all of them keep the time zones.
const ZONES: &str = "/usr/share/zoneinfo";
const PASSWD: &[u8] = b"root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n";
const GROUP: &[u8] = b"root:x:0:\nnonroot:x:65532:\n";

/// The layers of a minimal base.
pub fn minimal(limits: &Limits) -> Result<Vec<Layer>, SupplyError> {
    let mut base = Layer::new("users and certificates");
    base.add_bytes("/etc/passwd", 0o644, PASSWD)?;
    base.add_bytes("/etc/group", 0o644, GROUP)?;
    base.add_directory("/tmp", 0o1777)?;
    let found = CERTIFICATES.iter().find_map(|path| Path::new(path).canonicalize().ok());
    let bundle = found.ok_or(SupplyError::MissingFile { path: CERTIFICATES[0].into() })?;
    base.add_file(&bundle, "/etc/ssl/certs/ca-certificates.crt", false)?;
    let mut zones = Layer::new("time zones");
    // The same zones twice more, in other arrangements, and what only compilers of zones read.
    let leave_out = |path: &str| {
        ["posix", "right", "localtime", "posixrules"].contains(&path.split('/').next().unwrap_or_default())
    };
    let source = Path::new(ZONES).canonicalize().map_err(|_| SupplyError::MissingFile { path: ZONES.into() })?;
    zones.add_tree(&source, ZONES, &leave_out, limits)?;
    Ok(vec![base, zones])
}
