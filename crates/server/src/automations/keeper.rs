//! One repository whose images are kept up to date: its images are scanned when they are due or something was heard of them, and
//! its automations carried out when something may be other than before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prograde_apps::application::Metadata;
use prograde_apps::image::choice::Chosen;
use prograde_apps::image::marker::is_marked;
use prograde_apps::image::objects::{ImagePolicy, ImageRepository, ImageUpdateAutomation};
use prograde_apps::image::update;
use prograde_apps::{Memory, Objects};
use prograde_control::{Clock as _, SystemClock};
use prograde_gitops::git::{MAIN, Marked};
use prograde_kustomize::Place;
use prograde_model::Diagnostic;
use prograde_model::ids::{CommitId, ServiceName};
use prograde_supply::registry::RepositoryName;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::run::{self, Done, Given, Home};
use super::scan::{Found, Wanted};
use crate::api::types::AutomatedRepositoryView;
use crate::events::chain;

/// How often images are scanned and automations carried out that do not say it.
const INTERVAL: Duration = Duration::from_mins(5);
/// The shortest and the longest time between two of them.
const INTERVAL_MIN: Duration = Duration::from_secs(10);
const INTERVAL_MAX: Duration = Duration::from_hours(24);
/// How long is waited for scans under way, so that what several images bring is one commit.
const SETTLE: Duration = Duration::from_secs(3);
/// Facts come in groups: how long is waited for the rest of one.
const FACTS_PAUSE: Duration = Duration::from_millis(200);
/// The most images and automations of a repository.
const OBJECTS_MAX: usize = 500;
/// How many problems are told.
const PROBLEMS_MAX: usize = 5;

/// An object: its namespace, its name, and its file, because clusters that are kept in one repository have objects of the same
/// names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) file: String,
}

impl Key {
    fn new(metadata: &Metadata, place: &Place) -> Self {
        Self { namespace: metadata.namespace.clone(), name: metadata.name.clone(), file: place.file.to_string() }
    }

    pub(super) fn of_image(repository: &ImageRepository) -> Self {
        Self::new(&repository.metadata, &repository.place)
    }

    pub(super) fn of_policy(policy: &ImagePolicy) -> Self {
        Self::new(&policy.metadata, &policy.place)
    }

    pub(super) fn of_automation(automation: &ImageUpdateAutomation) -> Self {
        Self::new(&automation.metadata, &automation.place)
    }
}

/// What troubles are of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// The files of the repository.
    Files,
    Policy(Key),
    Automation(Key),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Files => f.write_str("its files"),
            Self::Policy(key) => write!(f, "policy {}:{}", key.namespace, key.name),
            Self::Automation(key) => write!(f, "automation {}/{}", key.namespace, key.name),
        }
    }
}

/// What is wrong with something.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trouble {
    pub(super) since: Timestamp,
    pub(super) text: String,
}

pub(super) struct Keeper {
    pub(super) name: ServiceName,
    marked: watch::Sender<Arc<Marked>>,
    pub(super) stop: CancellationToken,
    view: Mutex<AutomatedRepositoryView>,
    troubles: Mutex<BTreeMap<Subject, Trouble>>,
}

/// An image, and what is known of it.
pub(super) struct Scanning {
    pub(super) wanted: Arc<Wanted>,
    due: Instant,
    begun: Option<Instant>,
    is_running: bool,
    /// What was found out last, and what had been asked.
    pub(super) found: Option<(Arc<Wanted>, Found)>,
}

/// An automation, and what came of it.
pub(super) struct Automating {
    due: Instant,
    pub(super) ran_at: Option<Timestamp>,
    /// The commit that it made last; asked of Git when it is carried out first.
    pub(super) last: Option<(CommitId, Timestamp)>,
}

/// What is known of a repository.
pub(super) struct Work {
    pub(super) commit: Option<CommitId>,
    pub(super) read_at: Option<Timestamp>,
    pub(super) objects: Arc<Objects>,
    pub(super) images: BTreeMap<Key, Scanning>,
    pub(super) automations: BTreeMap<Key, Automating>,
    /// What the branch is called where people push to it that is `main` here.
    pub(super) main: String,
    scans: JoinSet<Scanned>,
    quarantined: Arc<BTreeSet<String>>,
    memory: Memory,
    /// The marked files of branches.
    branches: BTreeMap<String, Arc<Marked>>,
}

/// What came of a scan, of which image, and what had been asked.
type Scanned = (Key, Arc<Wanted>, Found);

/// What happened.
enum Came {
    Commit(Result<(), watch::error::RecvError>),
    Facts,
    News(Result<RepositoryName, RecvError>),
    /// Something may have been pushed to another registry.
    Others,
    Scan(Option<Result<Scanned, JoinError>>),
    Time,
}

impl Keeper {
    pub(super) fn new(name: ServiceName, marked: Arc<Marked>, stop: CancellationToken) -> Self {
        let view = Mutex::new(AutomatedRepositoryView::new(name.clone()));
        Self { name, marked: watch::Sender::new(marked), stop, view, troubles: Mutex::default() }
    }

    /// There is a newer commit.
    pub(super) fn tell(&self, marked: Arc<Marked>) {
        self.marked.send_if_modified(|before| {
            let is_new = before.commit != marked.commit;
            *before = marked;
            is_new
        });
    }

    /// Its newest commit can't be read.
    pub(super) fn unreadable(&self, why: &str) {
        self.trouble(&Subject::Files, Some(why.to_owned()));
        let trouble = self.troubles().get(&Subject::Files).cloned();
        self.locked().troubled(trouble.as_ref());
    }

    pub(super) fn view(&self) -> AutomatedRepositoryView {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, AutomatedRepositoryView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn troubles(&self) -> MutexGuard<'_, BTreeMap<Subject, Trouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what is wrong with something, and tells of it once.
    fn trouble(&self, of: &Subject, text: Option<String>) {
        let mut troubles = self.troubles();
        let before = troubles.remove(of);
        match (text, before) {
            (None, None) => {}
            (None, Some(before)) => {
                tracing::info!(repository = %self.name, since = %before.since, "{of}: it goes on");
            }
            (Some(text), before) => {
                if before.as_ref().is_none_or(|before| before.text != text) {
                    tracing::error!(repository = %self.name, "{of}: {text}");
                }
                let since = before.map_or_else(|| SystemClock.now(), |before| before.since);
                troubles.insert(of.clone(), Trouble { since, text });
            }
        }
    }

    /// Keeps the repository's images up to date until this is dropped.
    pub(super) async fn keep(&self, inner: &Inner) {
        let mut work = Work::new();
        let (mut marked, mut facts) = (self.marked.subscribe(), inner.control.changed());
        let (mut news, mut others) = (inner.registry.news(), inner.others.subscribe());
        marked.mark_changed();
        loop {
            facts.borrow_and_update();
            work.follow_quarantine(inner);
            if marked.has_changed().unwrap_or(false) {
                let now = Arc::clone(&marked.borrow_and_update());
                self.read(&mut work, now).await;
            }
            work.begin(inner);
            self.run_due(&mut work, inner).await;
            *self.locked() = work.view(self);
            let next = work.next();
            let came = tokio::select! {
                changed = marked.changed() => Came::Commit(changed.map(|()| marked.mark_changed())),
                Ok(()) = facts.changed() => Came::Facts,
                told = news.recv() => Came::News(told),
                Ok(()) = others.changed() => Came::Others,
                done = work.scans.join_next(), if !work.scans.is_empty() => Came::Scan(done),
                () = tokio::time::sleep_until(next) => Came::Time,
            };
            match came {
                Came::Commit(Ok(())) | Came::Time | Came::Scan(None) => {}
                // Nobody is left who could tell of commits.
                Came::Commit(Err(_)) => return,
                Came::Facts => tokio::time::sleep(FACTS_PAUSE).await,
                Came::News(told) => work.heard(inner, told.ok().as_ref()),
                Came::Others => work.heard_of_others(inner),
                Came::Scan(Some(Ok((key, wanted, found)))) => self.take(&mut work, &key, &wanted, found),
                Came::Scan(Some(Err(error))) => {
                    tracing::error!(repository = %self.name, "a scan ended badly: {error}");
                    work.scans = JoinSet::new();
                    work.images.values_mut().for_each(|scanning| scanning.is_running = false);
                }
            }
        }
    }

    /// Reads the objects of the newest commit.
    async fn read(&self, work: &mut Work, marked: Arc<Marked>) {
        let mut memory = std::mem::take(&mut work.memory);
        let of = Arc::clone(&marked);
        let read = move || {
            let texts = of.files.iter().map(|(file, text)| (file.clone(), text.clone())).collect();
            let mut objects = memory.read(texts);
            let has_marker = |file: &str| of.files.get(file).is_some_and(|text| is_marked(text));
            let problems = update::problems(&mut objects, has_marker);
            (objects, problems, memory)
        };
        match tokio::task::spawn_blocking(read).await {
            Ok((objects, problems, memory)) => {
                work.memory = memory;
                let mut told: Vec<String> = problems.iter().take(PROBLEMS_MAX).map(Diagnostic::to_string).collect();
                if objects.repositories.len().max(objects.automations.len()).max(objects.policies.len()) > OBJECTS_MAX {
                    told.push(format!("more than {OBJECTS_MAX} images, policies or automations are not looked at"));
                }
                self.trouble(&Subject::Files, (!told.is_empty()).then(|| told.join("\n")));
                work.commit = Some(marked.commit.clone());
                work.read_at = Some(SystemClock.now());
                work.branches.insert(MAIN.to_owned(), marked);
                work.take(objects);
            }
            Err(error) => self.trouble(&Subject::Files, Some(format!("the files can't be read: {}", chain(&error)))),
        }
        let subjects: BTreeSet<Subject> = work.subjects().collect();
        self.troubles().retain(|of, _| subjects.contains(of));
        self.tell_unknown(work);
    }

    /// Tells of policies whose image is in no file.
    fn tell_unknown(&self, work: &Work) {
        for policy in work.objects.policies.iter().filter(|policy| !policy.suspend) {
            let subject = Subject::Policy(Key::of_policy(policy));
            match policy.repository_in(&work.objects.repositories) {
                Err(problem) => self.trouble(&subject, Some(problem.to_string())),
                Ok(repository) if repository.suspend => self.trouble(&subject, None),
                Ok(_) => {}
            }
        }
    }

    /// Takes what came of a scan.
    fn take(&self, work: &mut Work, key: &Key, wanted: &Arc<Wanted>, found: Found) {
        let Some(scanning) = work.images.get_mut(key) else { return };
        scanning.is_running = false;
        if !Arc::ptr_eq(&scanning.wanted, wanted) {
            // Something else is wanted since, and asked at once.
            return;
        }
        for (policy, chosen) in &found.chosen {
            self.trouble(&Subject::Policy(policy.clone()), chosen.as_ref().err().map(ToString::to_string));
        }
        let image = |chosen: &Result<Chosen, _>| chosen.as_ref().ok().map(|chosen| chosen.image.clone());
        let images = |found: &Found| -> Vec<_> { found.chosen.values().map(image).collect() };
        let is_other = scanning.found.as_ref().map(|(_, before)| images(before)) != Some(images(&found));
        scanning.found = Some((Arc::clone(wanted), found));
        if is_other {
            work.wake();
        }
    }

    /// Carries out the automations that are due, once no scan is under way or others have waited long enough for it.
    async fn run_due(&self, work: &mut Work, inner: &Inner) {
        let now = Instant::now();
        let is_due = |one: &Automating| one.due <= now && (work.scans.is_empty() || one.due + SETTLE <= now);
        let due: BTreeSet<Key> =
            work.automations.iter().filter(|(_, one)| is_due(one)).map(|(key, _)| key.clone()).collect();
        if due.is_empty() {
            return;
        }
        let objects = Arc::clone(&work.objects);
        let given = work.given();
        for automation in &objects.automations {
            let key = Key::of_automation(automation);
            if due.contains(&key) {
                self.run(work, inner, automation, &given).await;
            }
        }
    }

    async fn run(&self, work: &mut Work, inner: &Inner, automation: &ImageUpdateAutomation, given: &Given) {
        let key = Key::of_automation(automation);
        let Some(mut one) = work.automations.remove(&key) else { return };
        let subject = Subject::Automation(key.clone());
        one.due = Instant::now() + bounded(automation.interval);
        match self.carry_out(work, inner, automation, given, &mut one).await {
            Ok(Done { commit, changes, problems }) => {
                if let Some(commit) = commit {
                    let (_, branch) = run::branches(automation, &work.main);
                    tracing::info!(
                        repository = %self.name, commit = commit.short(), branch, changes, "{subject}: images were updated"
                    );
                    inner.control.commits_arrived();
                }
                let told: Vec<String> = problems.iter().take(PROBLEMS_MAX).map(Diagnostic::to_string).collect();
                self.trouble(&subject, (!told.is_empty()).then(|| told.join("\n")));
            }
            Err(why) => self.trouble(&subject, Some(why)),
        }
        one.ran_at = Some(SystemClock.now());
        work.automations.insert(key, one);
    }

    async fn carry_out(
        &self,
        work: &mut Work,
        inner: &Inner,
        automation: &ImageUpdateAutomation,
        given: &Given,
        one: &mut Automating,
    ) -> Result<Done, String> {
        let repository = inner.repositories.get(&self.name).await.map_err(|error| chain(&error))?;
        let home = Home { repository: &repository, origin: inner.upstreams.origin(&self.name) };
        home.main().clone_into(&mut work.main);
        let done = run::run(&home, automation, given, &mut work.branches, SystemClock.now()).await;
        let is_new = done.as_ref().is_ok_and(|done| done.commit.is_some());
        if (is_new || one.ran_at.is_none())
            && let Ok((_, branch)) = home.branches(automation)
        {
            let all = repository.pointed_by(branch, &run::mover(automation)).await.map_err(|error| chain(&error))?;
            if let Some(commit) = all.into_iter().next() {
                let info = repository.commit_info(&commit).await.map_err(|error| chain(&error))?;
                one.last = Some((commit, info.time));
            }
        }
        done.map_err(|error| chain(&error))
    }
}

impl Work {
    fn new() -> Self {
        Self {
            commit: None,
            read_at: None,
            objects: Arc::default(),
            images: BTreeMap::new(),
            automations: BTreeMap::new(),
            main: MAIN.to_owned(),
            scans: JoinSet::new(),
            quarantined: Arc::default(),
            memory: Memory::default(),
            branches: BTreeMap::new(),
        }
    }

    /// What troubles may be of.
    fn subjects(&self) -> impl Iterator<Item = Subject> {
        let policies = self.objects.policies.iter().filter(|policy| !policy.suspend).map(Key::of_policy);
        let automations = self.objects.automations.iter().filter(|one| !one.suspend).map(Key::of_automation);
        policies.map(Subject::Policy).chain(automations.map(Subject::Automation)).chain([Subject::Files])
    }

    /// Takes the objects of a commit. What was found out of an image stays, as long as the same is asked of it.
    fn take(&mut self, objects: Objects) {
        let now = Instant::now();
        self.objects = Arc::new(objects);
        let mut before = std::mem::take(&mut self.images);
        for repository in self.objects.repositories.iter().filter(|one| !one.suspend).take(OBJECTS_MAX) {
            let wanted = self.wanted(repository);
            if wanted.policies.is_empty() {
                continue;
            }
            let key = Key::of_image(repository);
            let known = before.remove(&key).filter(|known| *known.wanted == wanted);
            let new = || Scanning { wanted: Arc::new(wanted), due: now, begun: None, is_running: false, found: None };
            self.images.insert(key, known.unwrap_or_else(new));
        }
        let mut before = std::mem::take(&mut self.automations);
        for automation in self.objects.automations.iter().filter(|one| !one.suspend).take(OBJECTS_MAX) {
            let key = Key::of_automation(automation);
            let known = before.remove(&key).unwrap_or(Automating { due: now, ran_at: None, last: None });
            self.automations.insert(key, Automating { due: now, ..known });
        }
    }

    fn wanted(&self, repository: &ImageRepository) -> Wanted {
        let is_of = |found: Result<&ImageRepository, _>| found.is_ok_and(|found| std::ptr::eq(found, repository));
        let policies = self.objects.policies.iter().filter(|policy| !policy.suspend);
        let policies = policies.filter(|policy| is_of(policy.repository_in(&self.objects.repositories)));
        Wanted {
            repository: repository.clone(),
            policies: policies.take(OBJECTS_MAX).cloned().collect(),
            quarantined: Arc::clone(&self.quarantined),
        }
    }

    /// Has all automations carried out.
    fn wake(&mut self) {
        let now = Instant::now();
        self.automations.values_mut().for_each(|one| one.due = one.due.min(now));
    }

    /// What may not be chosen may have changed: then everything is asked anew.
    fn follow_quarantine(&mut self, inner: &Inner) {
        let now: BTreeSet<String> =
            inner.control.with_fleet(|fleet| fleet.quarantines().map(|one| one.digest.to_string()).collect());
        if now == *self.quarantined {
            return;
        }
        self.quarantined = Arc::new(now);
        for scanning in self.images.values_mut() {
            let wanted = Wanted { quarantined: Arc::clone(&self.quarantined), ..(*scanning.wanted).clone() };
            (scanning.wanted, scanning.due) = (Arc::new(wanted), Instant::now());
        }
    }

    /// Something was pushed to the server's own registry: to this repository of it, or to any.
    fn heard(&mut self, inner: &Inner, pushed: Option<&RepositoryName>) {
        for scanning in self.images.values_mut() {
            let own = inner.registries.own(&scanning.wanted.repository.image);
            if own.is_some_and(|own| pushed.is_none_or(|pushed| *pushed == own)) {
                // Also where one is under way, which may have been too early.
                (scanning.wanted, scanning.due) = (Arc::new((*scanning.wanted).clone()), Instant::now());
            }
        }
    }

    /// Something may have been pushed to another registry: each is asked, but none without a pause.
    fn heard_of_others(&mut self, inner: &Inner) {
        let now = Instant::now();
        for scanning in self.images.values_mut() {
            if inner.registries.own(&scanning.wanted.repository.image).is_none() {
                let next = scanning.begun.map_or(now, |begun| now.max(begun + INTERVAL_MIN));
                scanning.due = scanning.due.min(next);
            }
        }
    }

    /// Begins the scans that are due.
    fn begin(&mut self, inner: &Inner) {
        let now = Instant::now();
        for (key, scanning) in &mut self.images {
            if scanning.due > now || scanning.is_running {
                continue;
            }
            (scanning.is_running, scanning.begun) = (true, Some(now));
            scanning.due = now + interval(&scanning.wanted);
            let (key, wanted) = (key.clone(), Arc::clone(&scanning.wanted));
            let asked = Arc::clone(&inner.registries).scan(Arc::clone(&wanted));
            self.scans.spawn(async move { (key, wanted, asked.await) });
        }
    }

    /// When something is due.
    fn next(&self) -> Instant {
        let scans = self.images.values().filter(|one| !one.is_running).map(|one| one.due);
        let wait = if self.scans.is_empty() { Duration::ZERO } else { SETTLE };
        let runs = self.automations.values().map(|one| one.due + wait);
        scans.chain(runs).min().unwrap_or_else(|| Instant::now() + INTERVAL)
    }

    /// What automations are given.
    fn given(&self) -> Given {
        let mut images = BTreeMap::new();
        // What was chosen before something was quarantined may be just that.
        let found = self.images.values().filter_map(|scanning| scanning.found.as_ref());
        for (_, found) in found.filter(|(asked, _)| asked.quarantined == self.quarantined) {
            let chosen = found.chosen.iter();
            images.extend(chosen.filter_map(|(of, chosen)| Some((of.clone(), chosen.as_ref().ok()?.image.clone()))));
        }
        Given { objects: Arc::clone(&self.objects), images: Arc::new(images) }
    }
}

/// How often an image is scanned: as often as whoever wants it most often says.
fn interval(wanted: &Wanted) -> Duration {
    let own = wanted.repository.interval.unwrap_or(INTERVAL);
    let all = wanted.policies.iter().filter_map(|policy| policy.interval);
    bounded(Some(all.fold(own, Duration::min)))
}

fn bounded(interval: Option<Duration>) -> Duration {
    interval.unwrap_or(INTERVAL).clamp(INTERVAL_MIN, INTERVAL_MAX)
}
