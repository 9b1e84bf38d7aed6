//! `x509_decode`: certificates and requests for them, as fields.
//!
//! Source of the fields: Kyverno's documentation, "`JMESPath`", "`X509_decode`": the fields of Go's `x509.Certificate` and
//! `x509.CertificateRequest`, with the key of RSA as decimal texts. Constraints of names and policies are left out: who
//! asks for them gets an error, not an empty list.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Encode as _, Reader as _, SliceReader};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::CrlDistributionPoints;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::request::CertReq;
use x509_cert::time::Time;
use x509_cert::{Certificate, SubjectPublicKeyInfo};

/// The longest certificate that is read, in bytes of its text.
const LENGTH_MAX: usize = 256 * 1024;

type Fields = Map<String, Value>;

/// The fields of a certificate or a request in PEM.
pub(super) fn decode(pem: &str) -> Result<Value, String> {
    let (label, der) = block(pem)?;
    let fields = match label {
        "CERTIFICATE" => certificate(&der),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => request(&der),
        other => return Err(format!("a block `{other}` is neither a certificate nor a request for one")),
    };
    fields.map(Value::Object).map_err(|error| format!("the certificate can't be read: {error}"))
}

/// The first block of a text in PEM: its label and content.
fn block(pem: &str) -> Result<(&str, Vec<u8>), String> {
    if pem.len() > LENGTH_MAX {
        return Err(format!("the certificate has more than {LENGTH_MAX} bytes"));
    }
    let none = || "the text is no PEM block".to_owned();
    let (_, rest) = pem.split_once("-----BEGIN ").ok_or_else(none)?;
    let (label, rest) = rest.split_once("-----").ok_or_else(none)?;
    let (body, _) = rest.split_once(&["-----END ", label, "-----"].concat()).ok_or_else(none)?;
    let packed: String = body.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(packed).map_err(|error| error.to_string())?;
    Ok((label, der))
}

fn certificate(der: &[u8]) -> x509_cert::der::Result<Fields> {
    let certificate = Certificate::from_der(der)?;
    let tbs = certificate.tbs_certificate();
    let mut fields = key(tbs.subject_public_key_info())?;
    for (name, value) in [
        ("Raw", bytes(der)),
        ("RawTBSCertificate", bytes(&tbs.to_der()?)),
        ("RawSubject", bytes(&tbs.subject().to_der()?)),
        ("RawIssuer", bytes(&tbs.issuer().to_der()?)),
        ("Signature", bytes(certificate.signature().raw_bytes())),
        ("SignatureAlgorithm", Value::from(algorithm(&certificate.signature_algorithm().oid))),
        ("Version", Value::from(tbs.version() as u8 + 1)),
        ("SerialNumber", number(tbs.serial_number().as_bytes())),
        ("Issuer", named(tbs.issuer())),
        ("Subject", named(tbs.subject())),
        ("NotBefore", Value::from(time(tbs.validity().not_before))),
        ("NotAfter", Value::from(time(tbs.validity().not_after))),
    ] {
        fields.insert(name.to_owned(), value);
    }
    let list = tbs.extensions().map(Vec::as_slice).unwrap_or_default();
    fields.extend(alternatives(list)?);
    fields.extend(usages(list)?);
    fields.extend(identifiers(list)?);
    Ok(fields)
}

fn request(der: &[u8]) -> x509_cert::der::Result<Fields> {
    let request = CertReq::from_der(der)?;
    let mut asked: Vec<Extension> = Vec::new();
    for attribute in request.info.attributes.iter() {
        // Extensions that are asked for: PKCS #9, `extensionRequest`.
        if attribute.oid == ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14") {
            for value in attribute.values.iter() {
                asked.extend(Vec::<Extension>::from_der(&value.to_der()?)?);
            }
        }
    }
    let mut fields = key(&request.info.public_key)?;
    for (name, value) in [
        ("Raw", bytes(der)),
        ("RawTBSCertificateRequest", bytes(&request.info.to_der()?)),
        ("RawSubject", bytes(&request.info.subject.to_der()?)),
        ("Version", Value::from(request.info.version as u8)),
        ("Signature", bytes(request.signature.raw_bytes())),
        ("SignatureAlgorithm", Value::from(algorithm(&request.algorithm.oid))),
        ("Subject", named(&request.info.subject)),
    ] {
        fields.insert(name.to_owned(), value);
    }
    fields.extend(alternatives(&asked)?);
    Ok(fields)
}

/// `PublicKey` and what belongs to it.
fn key(info: &SubjectPublicKeyInfo) -> x509_cert::der::Result<Fields> {
    let raw = info.subject_public_key.raw_bytes();
    let (algorithm, public) = match info.algorithm.oid.to_string().as_str() {
        "1.2.840.113549.1.1.1" => {
            let mut reader = SliceReader::new(raw)?;
            let (modulus, exponent) = reader
                .sequence(|reader| x509_cert::der::Result::Ok((UintRef::decode(reader)?, UintRef::decode(reader)?)))?;
            (1, json!({"N": decimal(modulus.as_bytes()), "E": number(exponent.as_bytes())}))
        }
        "1.2.840.10040.4.1" => (2, Value::Null),
        "1.2.840.10045.2.1" => {
            let point = raw.strip_prefix(&[4]).unwrap_or_default();
            let (x, y) = point.split_at(point.len() / 2);
            (3, json!({"Curve": {}, "X": number(x), "Y": number(y)}))
        }
        "1.3.101.112" => (4, bytes(raw)),
        _ => (0, Value::Null),
    };
    Ok(Fields::from_iter([
        ("RawSubjectPublicKeyInfo".to_owned(), bytes(&info.to_der()?)),
        ("PublicKeyAlgorithm".to_owned(), Value::from(algorithm)),
        ("PublicKey".to_owned(), public),
    ]))
}

/// An extension of a kind, read.
fn find<'e, T>(list: &'e [Extension]) -> x509_cert::der::Result<Option<T>>
where
    T: Decode<'e, Error = x509_cert::der::Error> + x509_cert::der::oid::AssociatedOid,
{
    let found = list.iter().find(|extension| extension.extn_id == T::OID);
    found.map(|extension| T::from_der(extension.extn_value.as_bytes())).transpose()
}

/// All extensions as they are, and the names beside the subject.
fn alternatives(list: &[Extension]) -> x509_cert::der::Result<Fields> {
    let (mut dns, mut mails, mut addresses, mut uris) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in find::<SubjectAltName>(list)?.into_iter().flat_map(|names| names.0) {
        match name {
            GeneralName::DnsName(name) => dns.push(Value::from(name.as_str())),
            GeneralName::Rfc822Name(name) => mails.push(Value::from(name.as_str())),
            GeneralName::UniformResourceIdentifier(name) => uris.push(uri(name.as_str())),
            GeneralName::IpAddress(address) => addresses.extend(ip(address.as_bytes())),
            GeneralName::OtherName(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EdiPartyName(_)
            | GeneralName::RegisteredId(_) => {}
        }
    }
    let whole = |extension: &Extension| {
        json!({
            "Id": oid(&extension.extn_id), "Critical": extension.critical,
            "Value": bytes(extension.extn_value.as_bytes()),
        })
    };
    Ok(Fields::from_iter([
        ("Extensions".to_owned(), some(list.iter().map(whole).collect())),
        ("ExtraExtensions".to_owned(), Value::Null),
        ("DNSNames".to_owned(), some(dns)),
        ("EmailAddresses".to_owned(), some(mails)),
        ("IPAddresses".to_owned(), some(addresses)),
        ("URIs".to_owned(), some(uris)),
    ]))
}

/// What a certificate may be used for.
fn usages(list: &[Extension]) -> x509_cert::der::Result<Fields> {
    const KNOWN: [&str; 10] = [
        "2.5.29.37.0",
        "1.3.6.1.5.5.7.3.1",
        "1.3.6.1.5.5.7.3.2",
        "1.3.6.1.5.5.7.3.3",
        "1.3.6.1.5.5.7.3.4",
        "1.3.6.1.5.5.7.3.5",
        "1.3.6.1.5.5.7.3.6",
        "1.3.6.1.5.5.7.3.7",
        "1.3.6.1.5.5.7.3.8",
        "1.3.6.1.5.5.7.3.9",
    ];
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for usage in find::<ExtendedKeyUsage>(list)?.into_iter().flat_map(|usages| usages.0) {
        match KNOWN.iter().position(|name| *name == usage.to_string()) {
            Some(place) => known.push(Value::from(place)),
            None => unknown.push(oid(&usage)),
        }
    }
    let constraints = find::<BasicConstraints>(list)?;
    let longest = constraints.as_ref().map_or(0, |found| found.path_len_constraint.map_or(-1, i64::from));
    Ok(Fields::from_iter([
        ("KeyUsage".to_owned(), Value::from(find::<KeyUsage>(list)?.map_or(0, |usage| usage.0.bits()))),
        ("ExtKeyUsage".to_owned(), some(known)),
        ("UnknownExtKeyUsage".to_owned(), some(unknown)),
        ("BasicConstraintsValid".to_owned(), Value::from(constraints.is_some())),
        ("IsCA".to_owned(), Value::from(constraints.as_ref().is_some_and(|found| found.ca))),
        ("MaxPathLen".to_owned(), Value::from(longest)),
        ("MaxPathLenZero".to_owned(), Value::from(constraints.is_some() && longest == 0)),
    ]))
}

/// Identifiers of keys, and where more is told about the certificate.
fn identifiers(list: &[Extension]) -> x509_cert::der::Result<Fields> {
    let (mut answers, mut issuers, mut revocations) = (Vec::new(), Vec::new(), Vec::new());
    for access in find::<AuthorityInfoAccessSyntax>(list)?.into_iter().flat_map(|all| all.0) {
        if let GeneralName::UniformResourceIdentifier(place) = &access.access_location {
            match access.access_method.to_string().as_str() {
                "1.3.6.1.5.5.7.48.1" => answers.push(Value::from(place.as_str())),
                "1.3.6.1.5.5.7.48.2" => issuers.push(Value::from(place.as_str())),
                _ => {}
            }
        }
    }
    for point in find::<CrlDistributionPoints>(list)?.into_iter().flat_map(|all| all.0) {
        if let Some(DistributionPointName::FullName(names)) = point.distribution_point {
            for name in names {
                if let GeneralName::UniformResourceIdentifier(place) = name {
                    revocations.push(Value::from(place.as_str()));
                }
            }
        }
    }
    let subject = find::<SubjectKeyIdentifier>(list)?.map_or(Value::Null, |found| bytes(found.0.as_bytes()));
    let authority = find::<AuthorityKeyIdentifier>(list)?.and_then(|found| found.key_identifier);
    Ok(Fields::from_iter([
        ("SubjectKeyId".to_owned(), subject),
        ("AuthorityKeyId".to_owned(), authority.map_or(Value::Null, |found| bytes(found.as_bytes()))),
        ("OCSPServer".to_owned(), some(answers)),
        ("IssuingCertificateURL".to_owned(), some(issuers)),
        ("CRLDistributionPoints".to_owned(), some(revocations)),
    ]))
}

/// A name with its parts, as Go's `pkix.Name`.
fn named(name: &Name) -> Value {
    const LISTS: [(&str, &str); 7] = [
        ("Country", "2.5.4.6"),
        ("Organization", "2.5.4.10"),
        ("OrganizationalUnit", "2.5.4.11"),
        ("Locality", "2.5.4.7"),
        ("Province", "2.5.4.8"),
        ("StreetAddress", "2.5.4.9"),
        ("PostalCode", "2.5.4.17"),
    ];
    let parts: Vec<(String, Value, Value)> =
        name.iter().map(|part| (part.oid.to_string(), oid(&part.oid), Value::from(shown(part)))).collect();
    let of = |wanted: &str| -> Vec<Value> {
        parts.iter().filter(|(found, _, _)| found == wanted).map(|(_, _, text)| text.clone()).collect()
    };
    let mut fields = Fields::new();
    for (field, wanted) in LISTS {
        fields.insert(field.to_owned(), some(of(wanted)));
    }
    for (field, wanted) in [("SerialNumber", "2.5.4.5"), ("CommonName", "2.5.4.3")] {
        fields.insert(field.to_owned(), of(wanted).pop().unwrap_or_else(|| Value::from("")));
    }
    let all = parts.iter().map(|(_, kind, text)| json!({"Type": kind, "Value": text})).collect();
    fields.insert("Names".to_owned(), some(all));
    fields.insert("ExtraNames".to_owned(), Value::Null);
    Value::Object(fields)
}

/// A part as text; the old `BMPString` and `TeletexString` are shown as far as they are ASCII.
fn shown(part: &AttributeTypeAndValue) -> String {
    String::from_utf8_lossy(part.value.value()).into_owned()
}

fn ip(bytes: &[u8]) -> Option<Value> {
    let address = match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok(),
        16 => <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok(),
        _ => None,
    };
    address.map(|address| Value::from(address.to_string()))
}

/// The parts of a URI that Go's `url.URL` tells apart and policies ask for.
fn uri(text: &str) -> Value {
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    json!({"Scheme": scheme, "Host": host, "Path": path})
}

/// Go writes a list without items as null.
fn some(items: Vec<Value>) -> Value {
    if items.is_empty() { Value::Null } else { Value::Array(items) }
}

fn bytes(bytes: &[u8]) -> Value {
    Value::from(STANDARD.encode(bytes))
}

fn oid(oid: &ObjectIdentifier) -> Value {
    oid.arcs().map(Value::from).collect()
}

fn time(time: Time) -> String {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map(|at| at.to_string()).unwrap_or_default()
}

/// A whole number of any length, as JSON has it: exact as long as 53 bits hold it.
fn number(bytes: &[u8]) -> Value {
    let text = decimal(bytes);
    text.parse::<u64>().map_or_else(|_| super::super::number(text.parse::<f64>().unwrap_or_default()), Value::from)
}

/// A whole number of any length in decimal.
fn decimal(bytes: &[u8]) -> String {
    const CHUNK: u64 = 1_000_000_000;
    let mut chunks: Vec<u64> = vec![0];
    for byte in bytes {
        let mut carry = u64::from(*byte);
        for chunk in &mut chunks {
            let value = *chunk * 256 + carry;
            (*chunk, carry) = (value % CHUNK, value / CHUNK);
        }
        if carry > 0 {
            chunks.push(carry);
        }
    }
    let mut parts: Vec<String> = chunks.iter().rev().map(|chunk| format!("{chunk:09}")).collect();
    if let Some(first) = parts.first_mut() {
        let short = first.trim_start_matches('0');
        *first = if short.is_empty() { "0".to_owned() } else { short.to_owned() };
    }
    parts.concat()
}

/// The number that Go gives to an algorithm of signatures; 0 for those that it does not know.
fn algorithm(oid: &ObjectIdentifier) -> u8 {
    match oid.to_string().as_str() {
        "1.2.840.113549.1.1.4" => 2,
        "1.2.840.113549.1.1.5" => 3,
        "1.2.840.113549.1.1.11" => 4,
        "1.2.840.113549.1.1.12" => 5,
        "1.2.840.113549.1.1.13" => 6,
        "1.2.840.10040.4.3" => 7,
        "2.16.840.1.101.3.4.3.2" => 8,
        "1.2.840.10045.4.1" => 9,
        "1.2.840.10045.4.3.2" => 10,
        "1.2.840.10045.4.3.3" => 11,
        "1.2.840.10045.4.3.4" => 12,
        "1.3.101.112" => 16,
        _ => 0,
    }
}
