//! Tells everybody what happens to a session: view, log, timeline, events.

use super::SessionActor;
use crate::actor::living::lock;
use crate::domain::event::{Event, EventKind, StatusChange, Step};
use crate::domain::exit::ExitReason;
use crate::domain::ids::event_id;
use crate::domain::session::Status;
use crate::policy::breaker::State;
use crate::ports::PortError;
use crate::ports::journal::Entry;
use std::sync::Arc;

/// How often a status is written again when the store is away, one try a second. Then it is only in the log.
const TRIES: u32 = 120;

impl SessionActor {
    /// Tells everybody about a status.
    pub(super) fn announce(&self, status: Status, exit: Option<ExitReason>) {
        let at = self.deps.clock.unix_ms();
        let mut history = vec![];
        self.entry.view.send_modify(|view| {
            view.status = status;
            view.activity_ms = Some(at);
            view.history.push((status, at));
            let surplus = view.history.len().saturating_sub(3);
            view.history.drain(..surplus);
            history = view.history.clone();
        });
        let reason = exit.as_ref().map(ExitReason::code);
        tracing::info!(session = %self.entry.spec().id, status = status.as_str(), reason, "session status");
        self.publish(EventKind::Status(StatusChange { status, history, exit }));
    }

    /// Writes a step of supervision to log, timeline and sockets.
    pub(super) fn note(&self, step: Step) {
        let session = self.entry.spec().id;
        match &step {
            Step::Started { incarnation, cause } => {
                tracing::info!(%session, step = step.word(), incarnation, cause, "supervision");
            }
            Step::Ready { recovered } => {
                let cause = recovered.as_ref().map(|one| one.cause.as_str());
                let recovery_ms = recovered.as_ref().map(|one| one.ms);
                tracing::info!(%session, step = step.word(), cause, recovery_ms, "supervision");
            }
            Step::Ended { exit, next, retry_at_ms } => {
                let (reason, detail) = (exit.code(), exit.detail());
                tracing::info!(%session, step = step.word(), reason, detail, next, retry_at_ms, "supervision");
            }
            Step::Breaker { state } => tracing::info!(%session, step = step.word(), state, "supervision"),
            Step::ActorPanicked { detail } => tracing::warn!(%session, step = step.word(), detail, "supervision"),
            Step::Connecting => tracing::info!(%session, step = step.word(), "supervision"),
        }
        self.entry.remember(self.deps.clock.unix_ms(), step.clone());
        self.publish(EventKind::Supervised(step));
    }

    /// Tells of a change of the breaker, if there was one.
    pub(super) fn note_breaker(&self, before: State, after: State) {
        if before.word() != after.word() {
            self.note(Step::Breaker { state: after.word().to_owned() });
        }
    }

    pub(super) fn publish(&self, kind: EventKind) {
        let spec = self.entry.spec();
        if !kind.durable() {
            let at_ms = self.deps.clock.unix_ms();
            let event = Event { seq: None, id: event_id(), key: spec.key(), session: spec.name, at_ms, kind };
            self.deps.sink.publish(event);
            return;
        }
        let entry = Entry {
            key: spec.key(),
            user: spec.user,
            session: spec.name,
            epoch: spec.link_epoch,
            dedupe: event_id(),
            told: self.entry.hooks().told(kind.names()),
            kind,
        };
        // It takes its place in the journal now, so that events keep their order.
        let mut appended = self.deps.journal.append(vec![entry.clone()]);
        let (journal, clock, shown) = (Arc::clone(&self.deps.journal), Arc::clone(&self.deps.clock), spec.id);
        self.deps.io.spawn(async move {
            for _ in 0..TRIES {
                match appended.await {
                    Err(PortError::Unavailable) => {}
                    Ok(_) => return,
                    Err(error) => return tracing::error!(session = %shown, %error, "an event was not recorded"),
                }
                clock.sleep_until(clock.now().saturating_add(1000)).await;
                appended = journal.append(vec![entry.clone()]);
            }
            tracing::error!(session = %shown, "an event was not recorded: the store was away for too long");
        });
    }

    /// The actor itself was restarted after a panic.
    pub(super) fn note_panic(&self) {
        let panic = lock(&self.entry.panic).take();
        if let Some(detail) = panic {
            self.note(Step::ActorPanicked { detail });
        }
    }
}
