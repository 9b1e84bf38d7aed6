//! The box in which cosign keeps private keys: scrypt makes a key of the password, `nacl/secretbox` seals.
//!
//! Source of the format: `encrypted` in <https://github.com/secure-systems-lab/go-securesystemslib>, which cosign uses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::XSalsa20Poly1305;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::KeyError;

/// What is written: 2^16 rounds, the library's "standard".
const LOG_N: u8 = 16;
/// What is read at most: 2^20 rounds of block size 8 take 1 GiB, so the product is bounded below.
const MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;
const SALT_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Why a box is not opened.
#[derive(Debug)]
pub(super) enum Closed {
    /// It is no box that can be read.
    Form(String),
    /// The password is another one, or the content was changed.
    Password,
}

/// Seals `plain`.
pub(super) fn seal(plain: &[u8], password: &[u8]) -> Result<Vec<u8>, KeyError> {
    let (mut salt, mut nonce) = ([0_u8; SALT_BYTES], [0_u8; NONCE_BYTES]);
    getrandom::fill(&mut salt).map_err(KeyError::Random)?;
    getrandom::fill(&mut nonce).map_err(KeyError::Random)?;
    let failed = |why: &str| KeyError::form("the key", why);
    let params = Params { n: 1 << LOG_N, r: 8, p: 1 };
    let key = derive(password, &salt, &params).map_err(|_| failed("scrypt refuses its parameters"))?;
    let secretbox = XSalsa20Poly1305::new(key.as_ref().into());
    let ciphertext = secretbox.encrypt(&nonce.into(), plain).map_err(|_| failed("it can't be sealed"))?;
    let sealed = Sealed {
        kdf: Kdf { name: "scrypt".to_owned(), params, salt: STANDARD.encode(salt) },
        cipher: Cipher { name: "nacl/secretbox".to_owned(), nonce: STANDARD.encode(nonce) },
        ciphertext: STANDARD.encode(ciphertext),
    };
    serde_json::to_vec(&sealed).map_err(|error| failed(&error.to_string()))
}

/// Opens a box.
pub(super) fn open(sealed: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, Closed> {
    let form = |why: String| Closed::Form(why);
    let sealed: Sealed =
        serde_json::from_slice(sealed).map_err(|error| form(format!("its content is no encrypted key: {error}")))?;
    if sealed.kdf.name != "scrypt" || sealed.cipher.name != "nacl/secretbox" {
        return Err(form(
            "it is encrypted in a way that is not known: expected is scrypt with nacl/secretbox".to_owned(),
        ));
    }
    let decoded = |text: &str| STANDARD.decode(text).map_err(|_| form("its content is no base64".to_owned()));
    let salt = decoded(&sealed.kdf.salt)?;
    let nonce: [u8; NONCE_BYTES] = decoded(&sealed.cipher.nonce)?
        .try_into()
        .map_err(|_| form(format!("its nonce has not {NONCE_BYTES} bytes")))?;
    let ciphertext = decoded(&sealed.ciphertext)?;
    let key = derive(password, &salt, &sealed.kdf.params)?;
    let plain = XSalsa20Poly1305::new(key.as_ref().into()).decrypt(&nonce.into(), ciphertext.as_slice());
    plain.map(Zeroizing::new).map_err(|_| Closed::Password)
}

fn derive(password: &[u8], salt: &[u8], params: &Params) -> Result<Zeroizing<[u8; 32]>, Closed> {
    let refused =
        || Closed::Form(format!("its scrypt parameters N={}, r={}, p={} are not taken", params.n, params.r, params.p));
    let memory = params.n.checked_mul(u64::from(params.r)).and_then(|blocks| blocks.checked_mul(128));
    let bounded = memory.is_some_and(|bytes| bytes <= MEMORY_BYTES_MAX) && (1..=16).contains(&params.p);
    // Fewer rounds than the format's oldest are no protection, and a sign that somebody changed the file.
    if !bounded || !params.n.is_power_of_two() || params.n < 1 << 10 {
        return Err(refused());
    }
    let log_n = u8::try_from(params.n.trailing_zeros()).map_err(|_| refused())?;
    let scrypt_params = scrypt::Params::new(log_n, params.r, params.p).map_err(|_| refused())?;
    let mut key = Zeroizing::new([0_u8; 32]);
    scrypt::scrypt(password, salt, &scrypt_params, key.as_mut()).map_err(|_| refused())?;
    Ok(key)
}
