//! One set: a folder of a repository whose applications are kept in a cluster. It waits for nobody else's cluster.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prograde_control::{Clock as _, SystemClock};
use prograde_kubernetes::{Chosen, Connection, Keeper, Order, Orders, Target, Wish};
use prograde_model::application::Applications;
use prograde_model::ids::{CommitId, ServiceName};
use prograde_model::{Diagnostic, Diagnostics};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Inner;
use super::config::Declaring;
use super::leaving::Elsewhere;
use super::reading::{self, Before, Reading};
use super::recorder::{Recorder, Trouble};
use super::rules::Rules;
use super::trees::{DEPLOYMENTS, Read, Trees};
use crate::policies::Policies;

/// How often it is looked for commits although nobody told of any, and for windows that open or close.
const FALLBACK: Duration = Duration::from_mins(1);
/// After how many of these all applications are compared although nothing was heard of a change.
const LOOK_EVERY: u32 = 3;
/// How long is waited before the way to a cluster is tried again; twice as long after each time.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const CONNECT_PAUSE_MAX: Duration = Duration::from_mins(1);
/// Facts come in groups: how long is waited for the rest of one.
const FACTS_PAUSE: Duration = Duration::from_millis(200);
/// How many problems are told.
const PROBLEMS_MAX: usize = 5;

/// What a person ordered, and of which application.
pub(super) type Ordered = (String, Order);

pub(super) struct Set {
    pub(super) declared: Declaring,
    pub(super) recorder: Arc<Recorder>,
    pub(super) orders: mpsc::Sender<Ordered>,
    state: Mutex<State>,
}

/// How a set stands.
#[derive(Default, Clone)]
pub(super) struct State {
    /// What its cluster is called.
    pub(super) cluster: Option<String>,
    /// The cluster's address.
    pub(super) address: Option<String>,
    /// The commit that was read last.
    pub(super) commit: Option<CommitId>,
    /// When.
    pub(super) read_at: Option<Timestamp>,
    /// What is wrong with its way to the cluster or its files.
    pub(super) trouble: Option<Trouble>,
    /// Its applications, and whether each follows Git by itself where that is known.
    pub(super) names: BTreeMap<String, Option<bool>>,
    pub(super) read: Read,
    /// The applications whose past was looked for since something was fetched.
    pub(super) looked_for: BTreeSet<String>,
    /// Whether what is allowed depends on the time.
    timed: bool,
    /// The policies that were asked.
    policies: Option<Arc<Policies>>,
}

/// The applications of a reading.
struct Sorted {
    wishes: Vec<Wish>,
    /// Why some can't be used.
    wrong: BTreeMap<String, String>,
    /// All of them, and whether each follows Git by itself where that is known.
    names: BTreeMap<String, Option<bool>>,
}

impl Set {
    pub(super) fn new(declared: Declaring, recorder: Recorder, orders: mpsc::Sender<Ordered>) -> Self {
        Self { declared, recorder: Arc::new(recorder), orders, state: Mutex::default() }
    }

    pub(super) fn state(&self) -> State {
        self.lock().clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self, text: Option<String>) {
        let name = &self.declared.name;
        let mut state = self.lock();
        match (text, state.trouble.take()) {
            (None, None) => {}
            (None, Some(before)) => tracing::info!(set = %name, since = %before.since, "it can be kept again"),
            (Some(text), before) => {
                if before.as_ref().is_none_or(|before| before.text != text) {
                    tracing::error!(set = %name, "{text}");
                }
                let since = before.map_or_else(|| SystemClock.now(), |before| before.since);
                state.trouble = Some(Trouble { since, text });
            }
        }
    }

    /// Keeps it until this is dropped.
    pub(super) async fn keep(&self, inner: &Inner, orders: &mut mpsc::Receiver<Ordered>) {
        let connection = Arc::new(self.connect().await);
        {
            let mut state = self.lock();
            state.cluster = Some(connection.shown.clone());
            state.address = Some(connection.address().to_owned());
        }
        let witness = Arc::clone(&self.recorder) as _;
        let mut keeper = Keeper::new(Arc::clone(&connection.api) as _, Arc::new(SystemClock), witness);
        let (mut arrivals, mut facts) = (inner.control.arrivals(), inner.control.changed());
        let (mut policies, mut fetched) = (inner.rules.0.changed(), inner.held.bases.ended());
        let mut moved = inner.moved.subscribe();
        let (mut tick, mut ticks) = (Instant::now(), 0_u32);
        let (mut before, mut has_come) = (Before::default(), false);
        loop {
            arrivals.borrow_and_update();
            facts.borrow_and_update();
            policies.borrow_and_update();
            fetched.borrow_and_update();
            moved.borrow_and_update();
            let is_due = Instant::now() >= tick;
            if is_due {
                tick = Instant::now() + FALLBACK;
                ticks = ticks.wrapping_add(1);
                if ticks.is_multiple_of(LOOK_EVERY) {
                    keeper.look_again();
                }
                self.unclaim(inner);
            }
            if self.is_new(inner, is_due || std::mem::take(&mut has_come)).await {
                self.read(inner, &connection, &mut keeper, &mut before).await;
            }
            let is_deployments = self.lock().read.keys().any(|name| name.as_str() == DEPLOYMENTS);
            loop {
                tokio::select! {
                    _ended = keeper.work(tick.saturating_duration_since(Instant::now())) => break,
                    came = arrivals.changed() => match came {
                        Ok(()) => break,
                        // Nobody is left who could push.
                        Err(_) => return,
                    },
                    Ok(()) = policies.changed() => break,
                    Ok(()) = fetched.changed() => {
                        has_come = true;
                        // What is not known for want of it may be now.
                        self.lock().looked_for.clear();
                        break;
                    }
                    Ok(()) = moved.changed() => {
                        has_come = true;
                        break;
                    }
                    Ok(()) = facts.changed(), if is_deployments => {
                        tokio::time::sleep(FACTS_PAUSE).await;
                        break;
                    }
                    Some((name, order)) = orders.recv() => {
                        // One that is not kept yet finds its order in the journal.
                        let _is_kept = keeper.order(&name, order);
                    }
                }
            }
        }
    }

    async fn connect(&self) -> Connection {
        let mut pause = CONNECT_PAUSE;
        loop {
            let (file, context) = (self.declared.kubeconfig.as_deref(), self.declared.context.as_deref());
            match Connection::open(file, context).await {
                Ok(connection) => {
                    self.trouble(None);
                    return connection;
                }
                Err(error) => self.trouble(Some(format!("there is no way to the cluster: {error}"))),
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(CONNECT_PAUSE_MAX);
        }
    }

    /// Whether something is to be read: there are commits that were not, or it may come out otherwise now.
    async fn is_new(&self, inner: &Inner, is_due: bool) -> bool {
        let (read, may_differ, others) = {
            let state = self.lock();
            let asked = state.policies.as_ref().is_some_and(|asked| Arc::ptr_eq(asked, &inner.rules.0.now()));
            (state.read.clone(), state.timed || state.trouble.is_some(), !asked)
        };
        if read.is_empty() || others || (is_due && may_differ) {
            return true;
        }
        for (name, (commit, _)) in &read {
            // What can't be asked for is told by whoever reads.
            if inner.held.head(name).await.ok().flatten() != *commit {
                return true;
            }
        }
        false
    }

    async fn read(&self, inner: &Inner, connection: &Arc<Connection>, keeper: &mut Keeper, before: &mut Before) {
        let known = match inner.addresses().await {
            Ok(known) => known,
            Err(why) => return self.trouble(Some(why)),
        };
        let place = reading::Place { branches: known.branches, ..self.place() };
        let trees = Trees::new(inner.held.clone(), &place.repository, known.repositories, self.lock().read.clone());
        let (with, now) = (Arc::clone(connection), SystemClock.now());
        let mut kept = std::mem::take(before);
        let rules = Rules {
            set: self.declared.name.clone(),
            policies: inner.rules.0.now(),
            enforcement: self.declared.policies,
            vouching: inner.rules.1.clone(),
            signatures: RefCell::default(),
        };
        let policies = Arc::clone(&rules.policies);
        let read = tokio::task::spawn_blocking(move || {
            let read = reading::read(&place, trees, &with, (&rules, now), &mut kept);
            (read, kept)
        });
        match read.await {
            Ok((read, kept)) => {
                *before = kept;
                self.lock().policies = Some(policies);
                match read {
                    Ok(reading) => self.take(inner, connection, keeper, reading).await,
                    Err(why) => self.trouble(Some(why)),
                }
            }
            Err(error) => self.trouble(Some(format!("the files can't be read: {error}"))),
        }
    }

    /// Where its applications are written.
    pub(super) fn place(&self) -> reading::Place {
        let Declaring { repository, path, .. } = &self.declared;
        reading::Place { repository: repository.clone(), path: path.clone(), branches: BTreeMap::new() }
    }

    /// What is wanted of each application, and why the others can't be used.
    fn sorted(&self, inner: &Inner, connection: &Connection, commit: &CommitId, applications: Vec<Chosen>) -> Sorted {
        let origin: Arc<str> = commit.as_str().into();
        let (mut wishes, mut wrong, mut names) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for Chosen { name, target } in applications {
            match self.claimed(inner, connection, &name, target) {
                Ok(target) => {
                    names.insert(name, Some(target.automated));
                    let (orders, follows) = (self.orders(&target), target.automated);
                    wishes.push(Wish { target, orders, follows, origin: Arc::clone(&origin) });
                }
                Err(found) => {
                    let before = self.lock().names.get(&name).copied().flatten();
                    names.insert(name.clone(), before);
                    wrong.insert(name, found.to_string());
                }
            }
        }
        Sorted { wishes, wrong, names }
    }

    /// Why not all of it could be read.
    fn troubles(&self, names: &BTreeMap<String, Option<bool>>, problems: &[Diagnostic]) -> Option<String> {
        if names.is_empty() && problems.is_empty() {
            let Declaring { path, repository, .. } = &self.declared;
            return Some(format!("there are no applications in `{path}` of `{repository}`"));
        }
        let told: Vec<String> = problems.iter().take(PROBLEMS_MAX).map(ToString::to_string).collect();
        (!told.is_empty()).then(|| told.join("\n"))
    }

    /// Lets the keeper keep what was read. What can't be used is kept as it was.
    async fn take(&self, inner: &Inner, connection: &Arc<Connection>, keeper: &mut Keeper, reading: Reading) {
        let Reading { commit, applications, deletions, problems, read, mut timed } = reading;
        let Sorted { mut wishes, wrong, mut names } = self.sorted(inner, connection, &commit, applications);
        let trouble = self.troubles(&names, &problems);
        let mut unreadable: BTreeSet<String> = wrong.keys().cloned().collect();
        let present: Vec<String> = names.keys().cloned().collect();
        let mut is_whole = trouble.is_none();
        let elsewhere = self.elsewhere(inner, connection, &commit);
        let unnamed = if is_whole { BTreeSet::new() } else { self.lost(&names, &elsewhere) };
        let forgotten = wrong.keys().cloned().chain(unnamed).collect();
        for wish in self.remembered(inner, connection, keeper, forgotten).await {
            names.insert(wish.target.name.clone(), Some(wish.follows));
            unreadable.remove(&wish.target.name);
            wishes.push(wish);
        }
        let elsewhere = match elsewhere {
            Elsewhere::Kept(kept) => kept,
            Elsewhere::NotKnown => {
                // What is named no longer may be another set's now.
                (is_whole, timed) = (false, true);
                BTreeSet::new()
            }
        };
        if !is_whole {
            // What is wrong may be why they are not there.
            let before = std::mem::take(&mut self.lock().names);
            unreadable.extend(before.keys().cloned());
            for (name, follows) in before {
                names.entry(name).or_insert(follows);
            }
        }
        // What leaves goes on leaving, unless what is wrong may be why it is not there; and not if it is named again.
        let leaving = self.recorder.kept.with(|known| self.leaving(known));
        unreadable.retain(|name| !leaving.contains_key(name));
        if trouble.is_none() {
            let is_named = |name: &String| names.contains_key(name) || elsewhere.contains(name);
            unreadable.extend(leaving.into_keys().filter(|name| !is_named(name)));
        }
        let decide = |known: &Applications| {
            let read = |name: &String| {
                let said = wrong.get(name).map_or_else(|| Ok(deletions.get(name)), |why| Err(why.as_str()));
                known.read(&self.recorder.id(name), &commit, said)
            };
            let mut facts: Vec<_> = present.iter().flat_map(read).collect();
            if is_whole {
                let is_named = |name: &str| names.contains_key(name);
                facts.extend(known.gone(&self.declared.name, &commit, &is_named, &|name| elsewhere.contains(name)));
            }
            facts
        };
        let others: Vec<Arc<Target>> = wishes.iter().map(|wish| Arc::clone(&wish.target)).collect();
        // What is let go does nothing any more before that is recorded.
        self.recorder.keeps(names.keys());
        let before = self.lock().names.keys().filter(|name| !names.contains_key(*name)).cloned().collect::<Vec<_>>();
        self.recorder.lets_go(before);
        let last = keeper.want(wishes, &unreadable, &|name| self.recorder.past(name));
        self.recorder.record(decide).await;
        let trouble = match trouble {
            Some(trouble) => Some(trouble),
            None => self.leave(inner, connection, keeper, last, &others).await,
        };
        self.has_read(inner, (commit, read), names, timed || !wrong.is_empty());
        if is_whole {
            self.unclaim(inner);
        }
        self.trouble(trouble);
    }

    /// This was read, and says these applications.
    fn has_read(
        &self,
        inner: &Inner,
        (commit, read): (CommitId, Read),
        names: BTreeMap<String, Option<bool>>,
        timed: bool,
    ) {
        inner.read_from.add(read.keys().cloned());
        let is_other = {
            let mut state = self.lock();
            let before = state.commit.replace(commit);
            (state.read_at, state.read) = (Some(SystemClock.now()), read);
            (state.names, state.timed) = (names, timed);
            before != state.commit
        };
        if is_other {
            inner.moved.send_replace(());
        }
    }

    /// Others may keep applications by the names of those that are kept here no longer.
    fn unclaim(&self, inner: &Inner) {
        let names = self.lock().names.clone();
        let leaving = self.recorder.kept.with(|known| self.leaving(known));
        inner.unclaim(&self.declared.name, |name| names.contains_key(name) || leaving.contains_key(name));
    }

    /// What an application wants, unless another set keeps one of the same name in the same cluster.
    pub(super) fn claimed(
        &self,
        inner: &Inner,
        connection: &Connection,
        name: &str,
        target: Result<Arc<Target>, Diagnostics>,
    ) -> Result<Arc<Target>, Diagnostics> {
        let target = target?;
        match inner.claim(connection.address(), name, &self.declared.name) {
            None => Ok(target),
            Some(other) => {
                let message = format!("the set `{other}` keeps an application `{name}` in this cluster already");
                let hint = "give one of them another name";
                Err(target.place.diagnostic(reading::TWICE, message, hint).into())
            }
        }
    }

    pub(super) fn orders(&self, target: &Target) -> Orders {
        Orders {
            prune: target.automated && target.prune,
            confirmed: false,
            dry: false,
            hooks: true,
            timeout: self.declared.timeout,
        }
    }
}

/// The repositories of addresses, and the branches that they follow.
pub(super) struct Known {
    pub(super) repositories: BTreeMap<String, ServiceName>,
    pub(super) branches: BTreeMap<ServiceName, String>,
}

/// What the server itself calls a repository.
pub(super) fn own_address(url: &str, name: &str) -> String {
    prograde_apps::repository::address_key(&[url, "/git/", name].concat())
}
