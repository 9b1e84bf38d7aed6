use jiff::Timestamp;

use super::*;
use crate::stored::Fold as _;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn of() -> ApplicationId {
    ApplicationId { set: "platform".parse().unwrap(), application: "cart".into() }
}

fn commit() -> crate::ids::CommitId {
    "0123456789abcdef0123456789abcdef01234567".parse().unwrap()
}

fn began(because: Because) -> Began {
    Began { commit: commit(), revision: "1".into(), hooks: true, prune: true, confirm_prune: false, because }
}

fn ended(failure: Option<&str>, held: usize) -> Ended {
    let failure = failure.map(|why| (Ending::Failed, why.to_owned(), Some("mark".to_owned())));
    let held = (0..held).map(|one| Held { object: format!("Secret a/{one}"), why: "many".into() }).collect();
    Ended { revision: "1".into(), counts: Counts::default(), failure, held }
}

fn look(differing: &[&str], health: Health) -> Look {
    let one = |object: &&str| {
        let fields = vec![Field { path: "data.a".into(), by: Some("kubectl-edit".into()), at: None }; 30];
        Differing { object: (*object).to_owned(), what: What::Changed, fields }
    };
    let differing = differing.iter().map(one).collect();
    Look { commit: commit(), revision: "1".into(), differing, health, ailing: Vec::new() }
}

/// Takes facts in, as they come out of the journal.
fn take(known: &mut Applications, second: i64, decide: impl FnOnce(&Applications) -> Vec<ApplicationFact>) {
    use crate::stored::Fact as _;
    for fact in decide(known) {
        let (event_type, payload) = fact.encode();
        known.apply(&ApplicationFact::decode(&event_type, 1, payload).unwrap(), at(second));
    }
}

fn standing(known: &Applications) -> (Standing, String) {
    let (standing, _, why) = known.get(&of()).unwrap().standing();
    (standing, why)
}

#[test]
fn what_does_not_change_appends_nothing() {
    let mut known = Applications::default();
    take(&mut known, 0, |_| Applications::began(of(), began(Because::Revision)));
    assert_eq!(standing(&known), (Standing::Syncing, String::new()));
    take(&mut known, 1, |known| known.ended(&of(), ended(None, 0)));
    assert_eq!(standing(&known), (Standing::Synced, String::new()));
    assert!(known.looked(&of(), look(&[], Health::Healthy)).is_empty());

    let facts = known.looked(&of(), look(&["ConfigMap shop/cart", "Secret shop/cart"], Health::Degraded));
    assert_eq!(facts.len(), 2, "{facts:?}");
    assert!(matches!(&facts[0], ApplicationFact::Drifted { first, .. } if first[0].fields.len() == FIELDS_MAX));
    take(&mut known, 2, |_| facts);
    let why = "ConfigMap shop/cart data.a was changed by kubectl-edit, and 1 more".to_owned();
    assert_eq!(standing(&known), (Standing::Differs, why));
    let again = look(&["ConfigMap shop/cart", "Secret shop/cart"], Health::Degraded);
    assert!(known.looked(&of(), again).is_empty());
    take(&mut known, 3, |known| known.looked(&of(), look(&[], Health::Healthy)));
    assert_eq!(standing(&known).0, Standing::Synced);

    take(&mut known, 4, |known| known.read(&of(), &commit(), Err("a.yaml:1: no")));
    assert_eq!(standing(&known), (Standing::Unusable, "a.yaml:1: no".into()));
    assert!(known.read(&of(), &commit(), Err("a.yaml:1: no")).is_empty());
    take(&mut known, 5, |known| known.read(&of(), &commit(), Ok(None)));
    assert!(known.read(&of(), &commit(), Ok(None)).is_empty());
    take(&mut known, 6, |known| known.release(|_| false));
    assert!(known.get(&of()).is_none());
}

#[test]
fn what_was_broken_off_is_known() {
    let mut known = Applications::default();
    let order = Order { prune: false, confirm_prune: true, by: "ann".into() };
    take(&mut known, 0, |_| Applications::order(of(), order));
    assert_eq!(standing(&known), (Standing::Syncing, "ordered by ann".into()));
    assert!(known.get(&of()).unwrap().unfinished().is_some_and(|order| order.confirm_prune && order.prune));
    take(&mut known, 1, |_| Applications::began(of(), Began { confirm_prune: true, ..began(Because::Order) }));
    assert!(known.get(&of()).unwrap().unfinished().is_some_and(|order| order.confirm_prune));
    take(&mut known, 2, |known| known.ended(&of(), ended(Some("refused"), 0)));
    assert_eq!(known.get(&of()).unwrap().unfinished(), None);
    assert_eq!(standing(&known), (Standing::Failed, "refused".into()));
    assert_eq!(known.get(&of()).unwrap().tried.as_ref().unwrap().depended_on.as_deref(), Some("mark"));
    // What undoes a change is looked at anew.
    take(&mut known, 3, |_| Applications::began(of(), began(Because::Drift)));
    assert_eq!(known.get(&of()).unwrap().unfinished(), None);
}

#[test]
fn what_was_wanted_last_is_known_by_its_commit() {
    let mut known = Applications::default();
    let wanted = |known: &Applications| {
        let wanted = known.get(&of())?.wanted()?;
        Some((wanted.0.clone(), wanted.1.to_owned()))
    };
    assert_eq!(wanted(&known), None);
    let (later, first): (crate::ids::CommitId, _) = ("1".repeat(40).parse().unwrap(), Some((commit(), "1".to_owned())));
    take(&mut known, 0, |_| Applications::began(of(), began(Because::Revision)));
    assert_eq!(wanted(&known), first);
    take(&mut known, 1, |known| known.ended(&of(), ended(None, 0)));
    assert_eq!(wanted(&known), first);
    let next = Began { commit: later.clone(), revision: "2".into(), ..began(Because::Revision) };
    take(&mut known, 2, |_| Applications::began(of(), next));
    // Also where it failed: that is what was wanted.
    take(&mut known, 3, |known| known.ended(&of(), Ended { revision: "2".into(), ..ended(Some("refused"), 0) }));
    let unusable = |known: &Applications| known.read(&of(), &commit(), Err("broken"));
    take(&mut known, 4, unusable);
    assert_eq!(wanted(&known), Some((later, "2".to_owned())));
}

#[test]
fn what_would_be_deleted_waits_until_a_sync_deletes_it() {
    let mut known = Applications::default();
    take(&mut known, 0, |_| Applications::began(of(), began(Because::Revision)));
    take(&mut known, 1, |known| known.ended(&of(), ended(None, 30)));
    assert_eq!(standing(&known), (Standing::Held, "Secret a/0 would be deleted: many".into()));
    let (_, objects, first) = known.get(&of()).unwrap().held.clone().unwrap();
    assert_eq!((objects, first.len()), (30, OBJECTS_MAX));
    take(&mut known, 2, |known| known.ended(&of(), ended(None, 0)));
    assert_eq!(standing(&known).0, Standing::Synced);
}

#[test]
fn texts_are_bounded_at_a_character() {
    let known = Applications::default();
    let facts = known.read(&of(), &commit(), Err(&"ä".repeat(TEXT_BYTES_MAX)));
    assert!(matches!(&facts[..], [ApplicationFact::Unusable { why, .. }] if why.len() == TEXT_BYTES_MAX));
}

#[test]
fn what_a_cluster_says_makes_no_fact_large() {
    use crate::stored::Fact as _;
    let mut known = Applications::default();
    assert!(known.ended(&of(), ended(None, 1)).is_empty(), "it was let go");
    take(&mut known, 0, |_| Applications::began(of(), began(Because::Revision)));
    let long = || "ä".repeat(2_000);
    let field = Field { path: long(), by: Some(long()), at: None };
    let one = Differing { object: long(), what: What::Changed, fields: vec![field; 20] };
    let ailing = vec![long(); 30];
    let look = Look { differing: vec![one; 30], ailing, ..look(&[], Health::Degraded) };
    let held = vec![Held { object: long(), why: long() }; 30];
    let ended = Ended { held, ..ended(None, 0) };
    for fact in known.looked(&of(), look).into_iter().chain(known.ended(&of(), ended)) {
        assert!(fact.encode().1.to_string().len() < 1 << 19, "{}", fact.encode().0);
    }
}

fn named(name: &str) -> ApplicationId {
    ApplicationId { application: name.into(), ..of() }
}

/// Applications whose objects go with them, each with the application that deploys it.
fn kept(all: &[(&str, Option<&str>)]) -> Applications {
    let mut known = Applications::default();
    for (name, parent) in all {
        let deletion = Deletion { parent: parent.map(str::to_owned), by_order: false };
        take(&mut known, 0, |known| known.read(&named(name), &commit(), Ok(Some(&deletion))));
        assert!(known.read(&named(name), &commit(), Ok(Some(&deletion))).is_empty());
    }
    known
}

/// What becomes of those that are named no longer: `-NAME` is deleted, `?NAME` once a person says so, `=NAME` is let go.
fn gone(known: &Applications, left: &[&str], elsewhere: &[&str]) -> String {
    let facts = known.gone(&of().set, &commit(), &|name| left.contains(&name), &|name| elsewhere.contains(&name));
    let told = facts.iter().map(|fact| {
        if let ApplicationFact::Leaving { of, asks, .. } = fact {
            return [if *asks { "?" } else { "-" }, &of.application].concat();
        }
        assert!(matches!(fact, ApplicationFact::Released { .. }), "{fact:?}");
        ["=", &fact.of().application].concat()
    });
    told.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_git_names_no_longer_goes_where_its_files_said_so() {
    let known = kept(&[("a", None), ("b", None), ("c", None), ("d", None), ("e", None)]);
    assert_eq!(gone(&known, &["a", "b", "c", "d", "e"], &[]), "");
    assert_eq!(gone(&known, &["a", "b", "c", "d"], &[]), "-e");
    assert_eq!(gone(&known, &["a", "b", "c"], &["e"]), "-d =e");
    // Two of any number may leave, and half of many.
    assert_eq!(gone(&known, &["a", "b", "c"], &[]), "-d -e");
    assert_eq!(gone(&known, &["a", "b"], &[]), "?c ?d ?e");
    assert_eq!(gone(&known, &["a", "b"], &["e"]), "-c -d =e");
    assert_eq!(gone(&kept(&[("a", None), ("b", None)]), &[], &[]), "-a -b");

    let mut plain = kept(&[("a", None)]);
    take(&mut plain, 1, |known| known.read(&named("a"), &commit(), Ok(None)));
    assert_eq!(gone(&plain, &[], &[]), "=a");
}

#[test]
fn what_applications_deploy_goes_with_them_where_they_say_so_too() {
    let chain = [("top", None), ("middle", Some("top")), ("low", Some("middle"))];
    let known = kept(&chain);
    assert_eq!(gone(&known, &["top", "middle"], &[]), "-low");
    assert_eq!(gone(&known, &["top"], &[]), "-low -middle");
    let mut known = kept(&chain);
    take(&mut known, 1, |known| known.read(&named("middle"), &commit(), Ok(None)));
    assert_eq!(gone(&known, &["top"], &[]), "=low =middle");
    assert_eq!(gone(&known, &["top", "middle"], &[]), "-low");
    // Whoever deploys each other says nothing about an end.
    assert_eq!(gone(&kept(&[("a", Some("b")), ("b", Some("a"))]), &[], &[]), "=a =b");
}

#[test]
fn what_leaves_is_deleted_once_and_may_return() {
    let mut known = kept(&[("cart", None)]);
    take(&mut known, 1, |_| Applications::began(of(), began(Because::Revision)));
    let leave = |known: &Applications| known.gone(&of().set, &commit(), &|_| false, &|_| false);
    take(&mut known, 2, leave);
    assert_eq!(standing(&known).0, Standing::Leaving);
    assert_eq!(gone(&known, &[], &["cart"]), "=cart", "another set names it");
    assert!(leave(&known).is_empty());
    assert!(known.looked(&of(), look(&["ConfigMap shop/cart"], Health::Missing)).is_empty());
    let nothing = known.looked(&of(), look(&[], Health::Missing));
    assert_eq!(nothing, [ApplicationFact::Deleted { of: of() }], "nothing of it is there");
    // The end of what was broken off says nothing about the deletion.
    assert_eq!(known.ended(&of(), ended(None, 0)).len(), 1);

    take(&mut known, 3, |_| Applications::began(of(), began(Because::Revision)));
    take(&mut known, 4, |known| known.ended(&of(), ended(None, 2)));
    assert_eq!(standing(&known), (Standing::Held, "Secret a/0 would be deleted: many".into()));
    take(&mut known, 5, |known| known.read(&of(), &commit(), Ok(Some(&Deletion::default()))));
    assert_eq!(known.get(&of()).unwrap().leaving, None);
    assert_eq!(standing(&known).0, Standing::Unknown);

    // One that does not follow Git by itself waits for an order.
    let by_order = Deletion { by_order: true, ..Deletion::default() };
    take(&mut known, 6, |known| known.read(&of(), &commit(), Ok(Some(&by_order))));
    take(&mut known, 6, leave);
    assert!(matches!(standing(&known), (Standing::Leaving, why) if why.contains("ordered")));
    take(&mut known, 7, |_| Applications::began(of(), began(Because::Revision)));
    take(&mut known, 8, |known| known.ended(&of(), ended(Some("Job a/last is late"), 0)));
    let why = "it is not all deleted; put that right and order its sync again: Job a/last is late".to_owned();
    assert_eq!(standing(&known), (Standing::Failed, why));
    take(&mut known, 9, |_| Applications::began(of(), began(Because::Order)));
    take(&mut known, 10, |known| known.ended(&of(), ended(None, 0)));
    assert!(known.get(&of()).is_none());
}
