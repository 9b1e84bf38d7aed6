//! People who merge what is proposed, and what the server makes of a merge: it looks at what the deployment repository says,
//! again and again, so that no merge is lost with a life.

use prograde_control::ports::Revert;
use prograde_control::{Control, OrderError};
use prograde_model::flight::Refusal;
use prograde_model::gate::proposal::{Proposal, ProposalState};

use crate::check::Invariant;
use crate::world::World;

fn proposals(control: &Control) -> Vec<Proposal> {
    let holds = control.holds();
    control.with_fleet(|fleet| fleet.proposals(&holds))
}

/// People merge whatever may be merged now; how much that is.
pub fn merge_open(world: &World, control: &Control) -> usize {
    let open = proposals(control).into_iter().filter(|proposal| proposal.state == ProposalState::Open);
    open.filter(|proposal| world.last().merge(&proposal.target, &proposal.flight)).count()
}

/// What people have merged becomes an order, and what does not enter any more is taken out.
pub async fn take_in_merges(world: &World, control: &Control) {
    for proposal in proposals(control) {
        let Some(commit) = world.last().git.merged(&proposal.target, &proposal.flight) else { continue };
        let why = match &proposal.state {
            ProposalState::Merged => continue,
            ProposalState::Over(why) => why.clone(),
            ProposalState::Open | ProposalState::Waiting(_) => {
                match control.merged(&proposal.flight, &proposal.target.environment, &commit, "eve").await {
                    Err(OrderError::Refused(refusal)) if !matches!(refusal, Refusal::NotProposed { .. }) => {
                        refusal.to_string()
                    }
                    // An answer that was lost is looked for again with the next look.
                    Ok(_) | Err(_) => continue,
                }
            }
        };
        let at = control.now();
        let restore = control.with_fleet(|fleet| {
            let serves = fleet.flight(fleet.current(&proposal.target)?)?;
            serves.entry(&proposal.target)?.deploy_commit.clone()
        });
        let Proposal { target, flight, .. } = proposal;
        let revert = Revert { target, flight, commit, restore, supersedes: None, reason: why, at };
        let put_back = world.last().revert(&revert);
        if let Err(error) = put_back {
            world.last().broke(Invariant::Agreement, format!("what was merged can't be taken out: {error}"));
        }
    }
}
