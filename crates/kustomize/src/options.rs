//! What `kustomize build` is told on its command line, beside the directory.

/// How a kustomization is rendered, where its files don't say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Files are read from the whole tree, and not only from below the kustomization that names them
    /// (`--load-restrictor LoadRestrictionsNone`). Nothing outside of the tree is read either way.
    pub reads_whole_tree: bool,
    /// Objects stay in the order in which they come, unless `sortOptions` says otherwise (`--reorder none`).
    pub keeps_order: bool,
    /// Objects get the label of `buildMetadata: [managedByLabel]` (`--enable-managedby-label`).
    pub labels_managed_by: bool,
    /// Texts stay as they are written, for a directory without a kustomization, of which nobody expects what Kustomize prints:
    /// it gives texts that were written after `>` more line breaks, and makes empty texts of nothing between brackets.
    pub keeps_texts: bool,
}
