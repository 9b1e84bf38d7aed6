//! Sync options of Argo CD, as applications and objects set them.
//!
//! Source: Argo CD's documentation, "Sync Options". An option that is not supported is an error, never passed over.

use serde::Serialize;
use serde_json::Value;

use crate::annotations::{OPTIONS, Permission};
use crate::json::annotation_list;

/// What becomes of what an object owns when it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Propagation {
    /// It goes first.
    Foreground,
    /// It goes afterwards.
    Background,
    /// It stays.
    Orphan,
}

/// How objects are synchronised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SyncOptions {
    /// The application's namespace is made where it is missing.
    pub create_namespace: bool,
    /// Whether objects may be deleted when Git names them no longer.
    pub prune: Permission,
    /// What becomes of what a deleted object owns.
    pub propagation: Propagation,
    /// Objects are replaced, not applied.
    pub replace: bool,
    /// What can't be changed is deleted and made anew.
    pub force: bool,
    /// Whether the server is strict about fields that it does not know; it decides itself where nothing is said.
    pub validate: Option<bool>,
    /// Ignored fields keep their values when an object is applied for another reason.
    pub respect_ignored: bool,
    /// An object of another application is an error.
    pub fail_on_shared: bool,
    /// Objects of kinds that are not known yet are not tried beforehand.
    pub skip_missing: bool,
    /// Hooks are not run.
    pub skip_hooks: bool,
    /// What `kubectl apply` wrote is taken over.
    pub migrate: bool,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            create_namespace: false,
            prune: Permission::Free,
            propagation: Propagation::Foreground,
            replace: false,
            force: false,
            validate: None,
            respect_ignored: false,
            fail_on_shared: false,
            skip_missing: false,
            skip_hooks: false,
            migrate: true,
        }
    }
}

/// An option that can't be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There is none of this name, or it has no such value.
    #[error("the sync option `{0}` does not exist")]
    Unknown(String),
    /// It is not supported.
    #[error("the sync option `{0}` is not supported: {1}")]
    Unsupported(String, &'static str),
}

impl SyncOptions {
    /// Sets what one option says.
    pub fn set(&mut self, option: &str) -> Result<(), Unusable> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let unsupported = |why| Err(Unusable::Unsupported(option.to_owned(), why));
        match (name, value) {
            ("PrunePropagationPolicy", "foreground") => self.propagation = Propagation::Foreground,
            ("PrunePropagationPolicy", "background") => self.propagation = Propagation::Background,
            ("PrunePropagationPolicy", "orphan") => self.propagation = Propagation::Orphan,
            ("Prune", "confirm") => self.prune = Permission::Confirm,
            // What an application's own deletion does is no part of a sync.
            ("Delete", "true" | "false" | "confirm") => {}
            (name, "true" | "false") => {
                let on = value == "true";
                match name {
                    "CreateNamespace" => self.create_namespace = on,
                    "Prune" => self.prune = if on { Permission::Free } else { Permission::Never },
                    "Replace" => self.replace = on,
                    "Force" => self.force = on,
                    "Validate" => self.validate = Some(on),
                    "RespectIgnoreDifferences" => self.respect_ignored = on,
                    "FailOnSharedResource" => self.fail_on_shared = on,
                    "SkipDryRunOnMissingResource" => self.skip_missing = on,
                    "SkipHooks" => self.skip_hooks = on,
                    "ClientSideApplyMigration" => self.migrate = on,
                    // Only what differs is ever applied, and what is pruned always comes after what is applied.
                    "ApplyOutOfSyncOnly" | "PruneLast" => {}
                    "ServerSideApply" if on => {}
                    "ServerSideApply" => return unsupported("everything is applied on the server's side"),
                    "DryRun" | "ValidateOnly" if !on => {}
                    "DryRun" | "ValidateOnly" => {
                        return unsupported("a sync that changes nothing is asked for by hand");
                    }
                    _ => return Err(Unusable::Unknown(option.to_owned())),
                }
            }
            _ => return Err(Unusable::Unknown(option.to_owned())),
        }
        Ok(())
    }

    /// The options of one object: its application's, and on top of them its own.
    pub fn of(&self, object: &Value) -> Result<Self, Unusable> {
        let mut made = self.clone();
        for option in annotation_list(object, OPTIONS) {
            made.set(option)?;
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_overrides_its_application() {
        let mut options = SyncOptions::default();
        options.set("Prune=false").unwrap();
        options.set("Replace=true").unwrap();
        let object = json!({"metadata": {"annotations": {
            "argocd.argoproj.io/sync-options": "Prune=confirm, Replace=false,ServerSideApply=true"}}});
        let own = options.of(&object).unwrap();
        assert_eq!((own.prune, own.replace), (Permission::Confirm, false));
        assert_eq!((options.prune, options.replace), (Permission::Never, true));
    }

    #[test]
    fn what_is_not_supported_is_said() {
        for option in ["ServerSideApply=false", "DryRun=true", "ValidateOnly=true"] {
            assert!(matches!(SyncOptions::default().set(option), Err(Unusable::Unsupported(..))), "{option}");
        }
        for option in
            ["", "Prune", "Prune=", "Prune=maybe", "prune=true", "Nothing=true", "PrunePropagationPolicy=true"]
        {
            assert!(matches!(SyncOptions::default().set(option), Err(Unusable::Unknown(_))), "{option}");
        }
    }
}
