//! The way to Redis: one connection for the writer and one for everybody else, given up when they break and made anew by the keeper.
//!
//! Nothing waits here for a Redis that is away: a command finds the connections or fails at once. Every command has a deadline; one that
//! misses it takes the connections with it, since what comes later on them could no longer be believed.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Pipeline, RedisError, ServerErrorKind, Value};
use tokio::sync::watch;

use crate::connection::{Connection, Connector};
use crate::failure::Failure;
use crate::fitness::{self, Abilities, Demands, Unusable};
use crate::script::Lua;

/// Which connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// The writer's: it may stand still until replicas have what was written.
    Write,
    /// Everybody else's.
    Read,
}

/// The way to Redis.
pub(crate) struct Link {
    pub(crate) connector: Connector,
    demands: Demands,
    deadline: Duration,
    state: watch::Sender<State>,
}

#[derive(Clone)]
enum State {
    Up(Arc<Up>),
    /// Why not, and which connections were the last.
    Away(String, u64),
    Closed,
}

/// The connections between two breaks.
struct Up {
    generation: u64,
    write: Connection,
    read: Connection,
    abilities: Abilities,
}

impl Link {
    /// Connects for the first time.
    pub(crate) async fn open(connector: Connector, demands: Demands, deadline: Duration) -> Result<Self, Unusable> {
        let link =
            Self { connector, demands, deadline, state: watch::Sender::new(State::Away("not yet".to_owned(), 0)) };
        link.connect().await?;
        Ok(link)
    }

    /// Connects, and asks whether the server is fit.
    pub(crate) async fn connect(&self) -> Result<(), Unusable> {
        let failed = |failure| Unusable::Failed(failure);
        let mut write = self.connector.connect().await.map_err(failed)?;
        let read = self.connector.connect().await.map_err(failed)?;
        let late = |_| Unusable::Failed(Failure::Away("it does not answer in time".to_owned()));
        let asked = tokio::time::timeout(self.deadline, fitness::check(&mut write, &self.demands)).await;
        let abilities = asked.map_err(late)??;
        self.state.send_if_modified(|state| {
            let generation = match state {
                State::Up(up) => up.generation + 1,
                State::Away(_, last) => *last + 1,
                State::Closed => return false,
            };
            *state = State::Up(Arc::new(Up { generation, write, read, abilities }));
            true
        });
        Ok(())
    }

    /// Gives the connections up; everything fails from now on.
    pub(crate) fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(*self.state.borrow(), State::Closed)
    }

    /// Why there is no connection; `None` while there is one.
    pub(crate) fn is_away(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Up(_) => None,
            State::Away(why, _) => Some(why.clone()),
            State::Closed => Some("the store is closed".to_owned()),
        }
    }

    /// Resolves when the connections have been given up.
    pub(crate) async fn lost(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as `self`.
        state.wait_for(|state| !matches!(state, State::Up(_))).await.ok();
    }

    /// Waits until there are connections, at most so long; tells whether there are.
    pub(crate) async fn back_within(&self, span: Duration) -> bool {
        let mut state = self.state.subscribe();
        let back = state.wait_for(|state| !matches!(state, State::Away(..)));
        matches!(tokio::time::timeout(span, back).await, Ok(Ok(state)) if matches!(*state, State::Up(_)))
    }

    /// Whether the server tells what replicas have on their disk.
    pub(crate) fn has_waitaof(&self) -> bool {
        matches!(&*self.state.borrow(), State::Up(up) if up.abilities.has_waitaof)
    }

    /// Asks one thing.
    pub(crate) async fn ask<T: FromRedisValue>(&self, way: Way, cmd: &Cmd) -> Result<T, Failure> {
        let (up, mut connection) = self.up(way)?;
        self.bounded(&up, async { cmd.query_async(&mut connection).await.map_err(Failure::from) }).await
    }

    /// Asks several things of one slot at once.
    pub(crate) async fn ask_all(&self, way: Way, pipeline: &Pipeline) -> Result<Vec<Value>, Failure> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let (up, mut connection) = self.up(way)?;
        self.bounded(&up, async { pipeline.query_async(&mut connection).await.map_err(Failure::from) }).await
    }

    /// Asks each thing by itself, wherever its slot is.
    pub(crate) async fn ask_each(&self, way: Way, cmds: &[Cmd]) -> Result<Vec<Value>, Failure> {
        futures::future::try_join_all(cmds.iter().map(|cmd| self.ask(way, cmd))).await
    }

    /// Runs a script, and loads it when Redis does not know it.
    pub(crate) async fn run(&self, way: Way, lua: &Lua, call: &Cmd) -> Result<Value, Failure> {
        let (up, _) = self.up(way)?;
        let answer = self.try_run(way, lua, call).await;
        if let Err(Failure::Away(why)) = &answer {
            self.give_up(up.generation, why);
        }
        answer
    }

    /// Runs a script that may fail without harm: a Redis that takes no writes now is still there for those who read.
    pub(crate) async fn try_run(&self, way: Way, lua: &Lua, call: &Cmd) -> Result<Value, Failure> {
        let (up, mut connection) = self.up(way)?;
        let running = async {
            let first: Result<Value, RedisError> = call.query_async(&mut connection).await;
            match first {
                Err(error) if error.kind() == ServerErrorKind::NoScript.into() => {
                    lua.script().load_async(&mut connection).await?;
                    Ok(call.query_async(&mut connection).await?)
                }
                other => Ok(other?),
            }
        };
        let answer = self.in_time(running).await;
        if let Err(Failure::Broken(why)) = &answer {
            self.give_up(up.generation, why);
        }
        answer
    }

    /// Asks every master.
    pub(crate) async fn ask_each_master(&self, way: Way, cmd: Cmd) -> Result<Vec<(String, Value)>, Failure> {
        let (up, mut connection) = self.up(way)?;
        self.bounded(&up, connection.ask_each_master(cmd)).await
    }

    fn up(&self, way: Way) -> Result<(Arc<Up>, Connection), Failure> {
        match &*self.state.borrow() {
            State::Up(up) => {
                let connection = match way {
                    Way::Write => up.write.clone(),
                    Way::Read => up.read.clone(),
                };
                Ok((up.clone(), connection))
            }
            State::Away(why, _) => Err(Failure::Away(why.clone())),
            State::Closed => Err(Failure::Away("the store is closed".to_owned())),
        }
    }

    /// Gives the connections up when the answer shows that they are of no use, or does not come.
    async fn bounded<T>(&self, up: &Up, asking: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let answer = self.in_time(asking).await;
        if let Err(Failure::Away(why) | Failure::Broken(why)) = &answer {
            self.give_up(up.generation, why);
        }
        answer
    }

    async fn in_time<T>(&self, asking: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let late = || Failure::Broken(format!("no answer within {} seconds", self.deadline.as_secs_f32()));
        tokio::time::timeout(self.deadline, asking).await.unwrap_or_else(|_| Err(late()))
    }

    fn give_up(&self, generation: u64, why: &str) {
        self.state.send_if_modified(|state| match state {
            State::Up(up) if up.generation == generation => {
                *state = State::Away(why.to_owned(), generation);
                true
            }
            State::Up(_) | State::Away(..) | State::Closed => false,
        });
    }
}
