//! Scratch.
#![allow(clippy::all, missing_docs)]
fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let settings = prograde_sim::Settings::default();
    if args.len() == 1 {
        let s = prograde_sim::Scenario::draw(args[0], &settings).unwrap();
        println!("{}\n{:?} replicas {} deadline {}", s.config, s.traffic, s.replicas, s.progress_deadline_s);
        println!("calm {} end {} busy {:?}", s.calm_ms, s.end_ms, s.busy);
        let r = prograde_sim::run(&s, true).unwrap();
        for l in &r.story { println!("{l}"); }
        println!("{:?}", r.tally);
        return;
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    let t = std::time::Instant::now();
    let s = prograde_sim::sweep(args[0], args[1], &settings, std::num::NonZeroUsize::new(2).unwrap(), &stop).unwrap();
    println!("{} seeds, {} failed, {:?}", s.seeds, s.failed, t.elapsed());
    for r in &s.failures { println!("{} {:?}", r.seed, r.broken.iter().map(|b| b.to_string()).collect::<Vec<_>>()); }
    println!("{:?}", s.tally);
}
