//! PEM: the label and the bytes of the one block in a text.

use zeroize::Zeroizing;

use super::KeyError;

/// The block in `text`. `what` is only for messages.
pub(super) fn block<'t>(what: &str, text: &'t str) -> Result<(&'t str, Zeroizing<Vec<u8>>), KeyError> {
    let (label, bytes) = pem_rfc7468::decode_vec(text.as_bytes())
        .map_err(|error| KeyError::form(what, format!("it is not one PEM block: {error}")))?;
    Ok((label, Zeroizing::new(bytes)))
}

/// `bytes` as a block.
pub(super) fn write(label: &str, bytes: &[u8]) -> Result<String, KeyError> {
    pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, bytes)
        .map_err(|error| KeyError::form(label, error.to_string()))
}
