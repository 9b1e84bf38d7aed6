//! The actions that are built in: which inputs they take, and how each is treated.

pub(crate) mod artifact;
pub(crate) mod checkout;

/// One input of a built-in action.
pub(crate) struct Input {
    /// Its name, in lower case.
    pub(crate) name: &'static str,
    /// What is done with it.
    pub(crate) treatment: Treatment,
}

/// What is done with an input.
pub(crate) enum Treatment {
    /// It is carried out.
    Used,
    /// It is accepted and changes nothing, for this reason.
    NoEffect(&'static str),
    /// It can only have one of these values; else this hint.
    Only(&'static [&'static str], &'static str),
    /// It is refused, with this hint.
    Unsupported(&'static str),
}

const fn input(name: &'static str, treatment: Treatment) -> Input {
    Input { name, treatment }
}

const TREE_ALONE: &str = "the workspace holds the commit's files alone; leave this input out";
const OWN_RUN: &str = "artifacts are read from the same run; leave this input out";
const NO_CREDENTIALS: &str = "no credentials are put into the workspace";

/// The inputs of `actions/checkout`.
pub(crate) const INPUTS_CHECKOUT: &[Input] = &[
    input("path", Treatment::Used),
    input("clean", Treatment::NoEffect("the workspace is new for each job")),
    input("persist-credentials", Treatment::NoEffect(NO_CREDENTIALS)),
    input("set-safe-directory", Treatment::NoEffect("the workspace holds no Git repository")),
    input("show-progress", Treatment::NoEffect("a checkout on this machine shows no progress")),
    input("fetch-depth", Treatment::Only(&["1"], TREE_ALONE)),
    input("fetch-tags", Treatment::Only(&["false"], TREE_ALONE)),
    input("lfs", Treatment::Only(&["false"], TREE_ALONE)),
    input("submodules", Treatment::Only(&["false"], TREE_ALONE)),
    input("repository", Treatment::Unsupported("only the pushed repository can be checked out")),
    input("ref", Treatment::Unsupported("only the pushed commit can be checked out")),
    input("token", Treatment::Unsupported("no token is needed; leave this input out")),
    input("ssh-key", Treatment::Unsupported("no key is needed; leave this input out")),
    input("ssh-known-hosts", Treatment::Unsupported("no host is asked; leave this input out")),
    input("ssh-strict", Treatment::Unsupported("no host is asked; leave this input out")),
    input("ssh-user", Treatment::Unsupported("no host is asked; leave this input out")),
    input("filter", Treatment::Unsupported(TREE_ALONE)),
    input("sparse-checkout", Treatment::Unsupported("all of the commit's files are checked out")),
    input("sparse-checkout-cone-mode", Treatment::Unsupported("all of the commit's files are checked out")),
    input("github-server-url", Treatment::Unsupported("only the pushed repository can be checked out")),
];

/// The inputs of `actions/upload-artifact`.
pub(crate) const INPUTS_UPLOAD: &[Input] = &[
    input("name", Treatment::Used),
    input("path", Treatment::Used),
    input("if-no-files-found", Treatment::Only(&["warn", "error", "ignore"], "the default is `warn`")),
    input("overwrite", Treatment::Used),
    input("include-hidden-files", Treatment::Used),
    input("retention-days", Treatment::NoEffect("artifacts are kept as long as the run's directory")),
    input("compression-level", Treatment::NoEffect("artifacts are kept as plain files")),
];

/// The inputs of `actions/download-artifact`.
pub(crate) const INPUTS_DOWNLOAD: &[Input] = &[
    input("name", Treatment::Used),
    input("path", Treatment::Used),
    input("pattern", Treatment::Used),
    input("merge-multiple", Treatment::Used),
    input("artifact-ids", Treatment::Unsupported("name the artifact, or use `pattern`")),
    input("github-token", Treatment::Unsupported(OWN_RUN)),
    input("repository", Treatment::Unsupported(OWN_RUN)),
    input("run-id", Treatment::Unsupported(OWN_RUN)),
];

/// What a built-in action did.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Its outputs.
    pub(crate) outputs: Vec<(String, String)>,
    /// What it has to say.
    pub(crate) lines: Vec<String>,
}

/// An input's value, where it was given and is not empty.
pub(crate) fn given<'a>(inputs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    inputs.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

/// A boolean input; `None` where it is neither `true` nor `false`.
pub(crate) fn flag(inputs: &[(String, String)], name: &str) -> Option<bool> {
    match given(inputs, name) {
        None => Some(false),
        Some(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Some(false),
        Some(_) => None,
    }
}
