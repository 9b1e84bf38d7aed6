//! The commands, one file each: its arguments and what it does.

pub(crate) mod alerts;
pub(crate) mod approve;
pub(crate) mod budget;
pub(crate) mod check;
pub(crate) mod dora;
pub(crate) mod explain;
pub(crate) mod flag;
pub(crate) mod flight;
pub(crate) mod generate;
pub(crate) mod init;
pub(crate) mod journal;
pub(crate) mod logs;
pub(crate) mod objectives;
pub(crate) mod oncall;
pub(crate) mod order;
pub(crate) mod page;
pub(crate) mod quarantine;
pub(crate) mod reference;
pub(crate) mod rules;
pub(crate) mod serve;
pub(crate) mod sim;
pub(crate) mod status;
pub(crate) mod toil;
pub(crate) mod verdict;
