//! `resources` of a container (Kubernetes API reference, `ResourceRequirements`).

use prograde_model::confinement::{Asked, Confinement, Part};

use super::fields::{Fields, Findings};
use super::quantity::{self, Unit};
use crate::codes;
use crate::located::Located;

/// The least memory that a limit may leave: no program starts in less.
const MEMORY_BYTES_MIN: u64 = 1024 * 1024;

/// Reads limits and requests. Requests alone ask for nothing: there is one machine, so nothing is placed by them.
pub(super) fn read(container: &mut Fields, given: &mut Confinement, found: &mut Findings) {
    container.note(found, &["resizePolicy"], "a limit changes with the replica");
    let Some(mut resources) = container.fields("resources", found) else { return };
    let limits = resources.fields("limits", found).map(|limits| amounts(limits, found)).unwrap_or_default();
    let requests = resources.fields("requests", found).map(|requests| amounts(requests, found)).unwrap_or_default();
    resources.refuse(found, &["claims"], "use an environment on Kubernetes");
    for (name, request, limit) in [("cpu", &requests.cpu, &limits.cpu), ("memory", &requests.memory, &limits.memory)] {
        if let (Some(request), Some(limit)) = (request, limit)
            && request.value > limit.value
        {
            found.invalid(request.at, format!("the request of `{name}` is more than its limit"), "raise the limit");
        }
    }
    let asks = |amount: &Amount, part| Asked { part, ..amount.asked.clone() };
    if limits.cpu.is_some() || limits.memory.is_some() {
        // A limit needs the container's control group.
        given.asked.push(resources.asks("limits", Part::Container));
    }
    if let Some(limit) = &limits.memory {
        if limit.value < MEMORY_BYTES_MIN {
            found.invalid(limit.at, "no program starts with less than 1Mi of memory", "write one such as `64Mi`");
        }
        given.memory_bytes_max = Some(limit.value);
        given.asked.push(asks(limit, Part::MemoryLimit));
    }
    if let Some(limit) = &limits.cpu {
        given.cpu_milli_max = Some(limit.value);
        given.asked.push(asks(limit, Part::CpuLimit));
    }
    resources.finish(found);
    // A limit without a request is one.
    given.cpu_milli_share = requests.cpu.or(limits.cpu).map(|amount| amount.value);
}

struct Amount<'a> {
    at: &'a Located,
    asked: Asked,
    value: u64,
}

#[derive(Default)]
struct Amounts<'a> {
    cpu: Option<Amount<'a>>,
    memory: Option<Amount<'a>>,
}

/// `cpu` and `memory` of limits or requests.
fn amounts<'a>(mut fields: Fields<'a>, found: &mut Findings) -> Amounts<'a> {
    let mut amount = |name, unit| {
        let at = fields.get(name)?;
        let asked = fields.asks(name, Part::Container);
        let value = quantity::read(at, unit).filter(|value| *value > 0);
        if value.is_none() {
            let message = format!("`{}` must be a quantity greater than 0", asked.field);
            found.invalid(at, message, "write one such as `500m` or `64Mi`");
        }
        value.map(|value| Amount { at, asked, value })
    };
    let amounts = Amounts { cpu: amount("cpu", Unit::Thousandth), memory: amount("memory", Unit::One) };
    fields.note(found, &["ephemeral-storage"], "what a replica writes to the disk is not limited");
    for entry in fields.tree.entries() {
        if !matches!(entry.name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            let message = format!("`{}` can't be had on this runtime", fields.path(&entry.name));
            let hint = "there is `cpu` and `memory`; use an environment on Kubernetes for others";
            found.errors.push(entry.place.diagnostic(codes::REFUSED_FIELD, message, hint));
        }
    }
    amounts
}
