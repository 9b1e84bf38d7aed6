//! What is done with numbers and labels, without knowing where they come from. Nothing here can fail but by its arguments.

pub(crate) mod arithmetic;
pub(crate) mod date;
pub(crate) mod fold;
pub(crate) mod histogram;
pub(crate) mod kahan;
pub(crate) mod moving;
pub(crate) mod over_time;
pub(crate) mod quantile;
pub(crate) mod range;
pub(crate) mod rate;
pub(crate) mod regression;
pub(crate) mod relabel;
pub(crate) mod values;
