//! The commands, one file each: its arguments and what it does.

pub(crate) mod action;
pub(crate) mod approve;
pub(crate) mod check;
pub(crate) mod dora;
pub(crate) mod explain;
pub(crate) mod flag;
pub(crate) mod flight;
pub(crate) mod generate;
pub(crate) mod incident;
pub(crate) mod init;
pub(crate) mod journal;
pub(crate) mod logs;
pub(crate) mod oncall;
pub(crate) mod order;
pub(crate) mod postmortem;
pub(crate) mod quarantine;
pub(crate) mod reference;
pub(crate) mod rules;
pub(crate) mod serve;
pub(crate) mod sim;
pub(crate) mod status;
pub(crate) mod status_page;
pub(crate) mod toil;
pub(crate) mod verdict;
