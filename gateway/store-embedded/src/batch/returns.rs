//! Receipts on their way back, and how their leases end.

use gateway_model::id::GatewayId;
use gateway_model::{Reason, Timestamp};
use gateway_store::Conflict;
use gateway_store::rows::{ReturnId, ReturnRow};
use gateway_store::settle::{ReturnState, SettleReturn};
use rusqlite::{Connection, Row, params};

use super::{Batch, Done};
use crate::evidence;
use crate::failure::Failure;
use crate::sum::Sum;
use crate::work::{Effects, Wake, WorkKey};

const COLUMNS: &str = "way_back.id, way_back.gateway, way_back.lane, way_back.wake, way_back.attempts, way_back.leaf,
    way_back.foreign_position, way_back.reason, way_back.sum";

/// A receipt on its way back, as it stands in the database.
#[derive(Clone, Debug)]
pub(crate) struct WayBack {
    pub(crate) id: i64,
    pub(crate) gateway: GatewayId,
    pub(crate) lane: i64,
    pub(crate) wake: Option<Timestamp>,
    pub(crate) attempts: u32,
    pub(crate) leaf: Option<i64>,
    pub(crate) foreign: Option<i64>,
    pub(crate) reason: Option<Reason>,
}

impl Batch<'_> {
    pub(super) fn settle_returns(&mut self, settles: &[SettleReturn]) -> Result<Done, Failure> {
        let mut rows = Vec::with_capacity(settles.len());
        for settle in settles {
            rows.push(WayBack::at(self.connection, key_of(settle.lease.id))?.ok_or(Conflict::Stale)?);
        }
        self.take_return_leases(settles)?;
        for (settle, (row, lane)) in settles.iter().zip(&mut rows) {
            match &settle.to {
                ReturnState::Done => {
                    self.connection.prepare_cached("DELETE FROM way_back WHERE id = ?1")?.execute([row.id])?;
                    self.head.returns -= 1;
                    continue;
                }
                ReturnState::Waiting { due, reason } => {
                    (row.wake, row.reason) = (Some(*due), Some(*reason));
                    self.effects.wakes.push(Wake { lane: lane.clone(), lane_id: row.lane, at: *due });
                }
                ReturnState::Held { reason } => (row.wake, row.reason) = (None, Some(*reason)),
            }
            row.attempts = row.attempts.saturating_add(1);
            row.update(self.connection)?;
        }
        Ok(Done::ReturnsSettled)
    }

    fn take_return_leases(&mut self, settles: &[SettleReturn]) -> Result<(), Failure> {
        let mut effects = Effects::default();
        let mut work = self.work();
        let taken = settles
            .iter()
            .all(|settle| work.take(WorkKey::Return(key_of(settle.lease.id)), settle.lease.token, &mut effects));
        if !taken {
            work.drop_effects(&effects);
            return Err(Conflict::Stale.into());
        }
        drop(work);
        self.effects.frozen.append(&mut effects.frozen);
        Ok(())
    }
}

impl WayBack {
    /// Reads one with the name of its lane.
    pub(crate) fn at(connection: &Connection, id: i64) -> Result<Option<(Self, gateway_store::claim::Lane)>, Failure> {
        let sql = format!(
            "SELECT {COLUMNS}, lane.name FROM way_back JOIN lane ON lane.id = way_back.lane WHERE way_back.id = ?1"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let name: String = row.get(9)?;
        Ok(Some((Self::read(row)?, gateway_store::claim::Lane::new(name))))
    }

    /// Sets the wake-up of one.
    pub(crate) fn wake_at(connection: &Connection, id: i64, wake: Timestamp) -> Result<(), Failure> {
        let Some((mut row, _)) = Self::at(connection, id)? else { return Ok(()) };
        row.wake = Some(wake);
        row.update(connection)
    }

    pub(crate) fn insert(&self, connection: &Connection) -> Result<(), Failure> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO way_back (id, gateway, lane, wake, attempts, leaf, foreign_position, reason, sum)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        insert.execute(params![
            self.id,
            self.gateway.as_str(),
            self.lane,
            self.wake.map(Timestamp::micros),
            self.attempts,
            self.leaf,
            self.foreign,
            self.reason.map(Reason::code),
            self.sum().finish()
        ])?;
        Ok(())
    }

    /// What the engine gets: the row with its receipt.
    pub(crate) fn with_receipt(&self, connection: &Connection) -> Result<ReturnRow, Failure> {
        let receipt = match (self.leaf, self.foreign) {
            (Some(leaf), _) => evidence::receipt_of(connection, leaf)?.map(|receipt| receipt.encode()),
            (None, Some(position)) => evidence::foreign_at(connection, position)?,
            (None, None) => None,
        };
        let receipt =
            receipt.ok_or_else(|| Failure::Damaged(format!("way_back {}: its receipt is missing", self.id)))?;
        Ok(ReturnRow {
            id: ReturnId(self.id.unsigned_abs()),
            to: self.gateway.clone(),
            receipt,
            attempts: self.attempts,
        })
    }

    fn update(&self, connection: &Connection) -> Result<(), Failure> {
        let mut update = connection
            .prepare_cached("UPDATE way_back SET wake = ?2, attempts = ?3, reason = ?4, sum = ?5 WHERE id = ?1")?;
        let (wake, reason) = (self.wake.map(Timestamp::micros), self.reason.map(Reason::code));
        update.execute(params![self.id, wake, self.attempts, reason, self.sum().finish()])?;
        Ok(())
    }

    fn read(row: &Row<'_>) -> Result<Self, Failure> {
        let id: i64 = row.get(0)?;
        let damaged = || Failure::Damaged(format!("way_back {id}"));
        let (gateway, reason): (String, Option<String>) = (row.get(1)?, row.get(7)?);
        let way_back = Self {
            id,
            gateway: GatewayId::parse(&gateway).map_err(|_| damaged())?,
            lane: row.get(2)?,
            wake: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_micros),
            attempts: row.get(4)?,
            leaf: row.get(5)?,
            foreign: row.get(6)?,
            reason: reason.map(|code| Reason::parse(&code).ok_or_else(damaged)).transpose()?,
        };
        way_back.sum().check(row.get(8)?, || format!("way_back {id}"))?;
        Ok(way_back)
    }

    fn sum(&self) -> Sum {
        Sum::new("way_back")
            .int(self.id)
            .text(self.gateway.as_str())
            .int(self.lane)
            .optional_int(self.wake.map(Timestamp::micros))
            .int(self.attempts.into())
            .optional_int(self.leaf)
            .optional_int(self.foreign)
            .optional_text(self.reason.map(Reason::code))
    }
}

fn key_of(id: ReturnId) -> i64 {
    evidence::signed(id.0)
}
