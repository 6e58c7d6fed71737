//! Reading a secret that a file refers to: the one place where a reference becomes a value or an error that names the key.

use super::StartError;
use crate::config::SecretRef;
use crate::secrets::{self, OpenToOthers};
use secrecy::SecretString;
use std::fmt::Display;

/// The secret for the key that `place` names; a file that others can read is told of in the log.
///
/// # Errors
/// [`StartError::Secret`].
pub(super) fn read(place: &dyn Display, reference: &SecretRef, environment: secrets::Environment<'_>) -> Result<SecretString, StartError> {
    read_saying(place, reference, environment, &|warning| tell(&warning))
}

/// As [`read`]; `say` gets what there is to be said of the file.
///
/// # Errors
/// [`StartError::Secret`].
pub(super) fn read_saying(
    place: &dyn Display,
    reference: &SecretRef,
    environment: secrets::Environment<'_>,
    say: &dyn Fn(OpenToOthers),
) -> Result<SecretString, StartError> {
    let resolved = secrets::resolve(reference, environment).map_err(|cause| StartError::Secret { place: place.to_string(), cause })?;
    resolved.warning.into_iter().for_each(say);
    Ok(resolved.secret)
}

/// Says that others can read a file.
pub(super) fn tell(OpenToOthers { reference, path, mode }: &OpenToOthers) {
    tracing::warn!(reference, path = %path.display(), mode = format!("{mode:o}"), "a secret can be read by others");
}
