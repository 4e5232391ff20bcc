//! A store in memory whose requests wait for their turn, and the orders in which turns are given: all of them, or drawn.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::oneshot;

/// The objects, with the times at which a clock of our own saw them put.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) objects: InMemory,
    /// Seconds.
    pub(super) clock: Arc<AtomicI64>,
    pub(super) put: Mutex<HashMap<Path, i64>>,
}

/// Requests that wait, by actor.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Before and after a walk nobody waits.
    is_walk: AtomicBool,
    waiting: Mutex<HashMap<usize, oneshot::Sender<()>>>,
}

impl Turns {
    fn give(&self, actor: usize) {
        let given = self.waiting.lock().unwrap().remove(&actor);
        given.unwrap().send(()).unwrap();
    }

    fn waiting(&self) -> Vec<usize> {
        let mut waiting: Vec<usize> = self.waiting.lock().unwrap().keys().copied().collect();
        waiting.sort_unstable();
        waiting
    }
}

/// What one actor sees of the shelf.
#[derive(Clone, Debug)]
pub(super) struct Stepped {
    pub(super) shelf: Arc<Shelf>,
    pub(super) turns: Arc<Turns>,
    pub(super) actor: Option<usize>,
}

impl Stepped {
    async fn turn(&self) {
        let Some(actor) = self.actor.filter(|_| self.turns.is_walk.load(Ordering::SeqCst)) else { return };
        let (give, given) = oneshot::channel();
        let before = self.turns.waiting.lock().unwrap().insert(actor, give);
        assert!(before.is_none(), "one request of an actor at a time");
        given.await.unwrap();
    }
}

impl fmt::Display for Stepped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a shelf")
    }
}

#[async_trait]
impl ObjectStore for Stepped {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.turn().await;
        let now = self.shelf.clock.load(Ordering::SeqCst);
        self.shelf.put.lock().unwrap().insert(location.clone(), now);
        self.shelf.objects.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(unasked())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.turn().await;
        self.shelf.objects.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let own = self.clone();
        let one = move |location: Result<Path>| {
            let own = own.clone();
            async move {
                let location = location?;
                own.turn().await;
                own.shelf.objects.delete(&location).await.map(|()| location)
            }
        };
        locations.then(one).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (own, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            own.turn().await;
            let mut all: Vec<ObjectMeta> = own.shelf.objects.list(prefix.as_ref()).try_collect().await?;
            let put = own.shelf.put.lock().unwrap();
            for meta in &mut all {
                let since = Duration::from_secs(put[&meta.location].unsigned_abs());
                meta.last_modified = (SystemTime::UNIX_EPOCH + since).into();
            }
            Ok::<_, object_store::Error>(futures::stream::iter(all.into_iter().map(Ok)))
        };
        futures::stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(unasked())
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unasked())
    }
}

/// Which of those that wait has the next turn.
#[derive(Debug)]
pub(super) struct Choices {
    /// Chosen, of how many.
    made: Vec<(usize, usize)>,
    /// What to choose first; then the first, or what is drawn.
    wanted: Vec<usize>,
    drawn: Option<u64>,
}

impl Choices {
    /// Always the same ones for a seed.
    pub(super) fn drawn(seed: u64) -> Self {
        Self { made: Vec::new(), wanted: Vec::new(), drawn: Some(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)) }
    }

    fn next(&mut self, of: usize) -> usize {
        let chosen = match (self.wanted.get(self.made.len()), &mut self.drawn) {
            (Some(&wanted), _) => wanted,
            (None, Some(state)) => {
                // xorshift64
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                usize::try_from(*state % of as u64).unwrap()
            }
            (None, None) => 0,
        };
        self.made.push((chosen, of));
        chosen
    }
}

/// Goes through all orders, one at a time.
pub(super) struct Explore {
    next: Option<Vec<usize>>,
}

pub(super) fn explore() -> Explore {
    Explore { next: Some(Vec::new()) }
}

impl Explore {
    pub(super) fn next(&mut self) -> Option<Choices> {
        self.next.take().map(|wanted| Choices { made: Vec::new(), wanted, drawn: None })
    }

    /// The last choice that could have been another one is made so; what follows it begins anew.
    pub(super) fn done(&mut self, choices: Choices) {
        let mut made = choices.made;
        while let Some((chosen, of)) = made.pop() {
            if chosen + 1 < of {
                let mut wanted: Vec<usize> = made.iter().map(|(chosen, _)| *chosen).collect();
                wanted.push(chosen + 1);
                self.next = Some(wanted);
                return;
            }
        }
    }
}

/// Lets the actors make their requests in the order of the choices; gives what each of them says.
pub(super) fn walk(turns: &Turns, mut actors: Vec<BoxFuture<'static, bool>>, choices: &mut Choices) -> Vec<bool> {
    turns.is_walk.store(true, Ordering::SeqCst);
    let mut said: Vec<Option<bool>> = vec![None; actors.len()];
    for actor in 0..actors.len() {
        said[actor] = poll(&mut actors[actor]);
    }
    loop {
        let waiting = turns.waiting();
        if waiting.is_empty() {
            turns.is_walk.store(false, Ordering::SeqCst);
            return said.into_iter().map(Option::unwrap).collect();
        }
        let actor = waiting[choices.next(waiting.len())];
        turns.give(actor);
        said[actor] = poll(&mut actors[actor]);
    }
}

/// Lets actor 0 make so many requests, and no more for ever.
pub(super) fn die(turns: &Turns, mut actor: BoxFuture<'static, bool>, requests: usize) {
    turns.is_walk.store(true, Ordering::SeqCst);
    let mut said = poll(&mut actor);
    for _ in 0..requests {
        if said.is_none() {
            turns.give(0);
            said = poll(&mut actor);
        }
    }
    drop(actor);
    turns.is_walk.store(false, Ordering::SeqCst);
    turns.waiting.lock().unwrap().clear();
}

/// Nobody wakes an actor, so nothing but a turn may stop it.
fn poll(actor: &mut BoxFuture<'static, bool>) -> Option<bool> {
    let mut actor = std::pin::pin!(tokio::task::unconstrained(actor));
    match actor.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(said) => Some(said),
        Poll::Pending => None,
    }
}

fn unasked() -> object_store::Error {
    object_store::Error::NotSupported { source: "nobody asks for it".into() }
}
