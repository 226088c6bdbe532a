//! The state machine of a session: a pure function from (phase, input) to (phase, actions).
//!
//! Two rules hold in every phase: a report of another incarnation than the current one changes nothing, and at most
//! one driver is alive: a new one is spawned only after the old one's exit was seen.

use super::ids::Incarnation;
use serde::{Deserialize, Serialize};

/// What clients see; the words are WAHA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Not running; nothing is lost.
    Stopped,
    /// Starting, or starting again.
    Starting,
    /// Waits for a scan or a pairing code.
    ScanQrCode,
    /// Linked and connected.
    Working,
    /// Needs a person, or the breaker is open.
    Failed,
}

impl Status {
    /// WAHA's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::ScanQrCode => "SCAN_QR_CODE",
            Self::Working => "WORKING",
            Self::Failed => "FAILED",
        }
    }

    /// All of them, for closed label sets.
    pub const ALL: [Self; 5] = [Self::Stopped, Self::Starting, Self::ScanQrCode, Self::Working, Self::Failed];
}

/// What becomes of the login when a driver is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// It stays; the session comes back without a scan.
    KeepLogin,
    /// The device is unlinked and its data removed.
    Logout,
}

/// What follows once the driver is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Stay,
    /// A new start.
    Start,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No driver, none wanted.
    Stopped,
    /// A driver is on its way to the network.
    Starting,
    /// The driver shows a login code.
    Login,
    /// Linked and connected.
    Working,
    /// The driver was asked to end.
    Stopping {
        /// What becomes of the login.
        mode: StopMode,
        /// What follows.
        then: Then,
    },
    /// No driver; what the login left behind is being removed.
    Forgetting {
        /// What follows.
        then: Then,
    },
    /// No driver; the next start is due at this time (monotonic milliseconds).
    Waiting {
        /// When.
        until: u64,
        /// The breaker is open.
        open: bool,
    },
    /// No driver; a person has to act.
    Parked,
}

/// The decision of the restart policy, handed in with an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It was asked for.
    Finish,
    /// A person has to act.
    Park,
    /// Start again then.
    Wait {
        /// Monotonic milliseconds.
        until: u64,
        /// The breaker is open.
        open: bool,
    },
}

/// What can happen to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A person or the boot wants it to run.
    Start,
    /// A person wants it to end.
    Stop {
        /// What becomes of the login.
        mode: StopMode,
        /// What follows.
        then: Then,
    },
    /// The wait is over.
    WaitOver,
    /// The driver shows a login code.
    DriverLogin(Incarnation),
    /// The driver is linked and connected.
    DriverReady(Incarnation),
    /// The driver lost the network and is trying by itself.
    DriverConnecting(Incarnation),
    /// The driver is gone, and so is its worker.
    Exited(Incarnation, Next),
    /// What the login left behind is removed.
    Forgotten,
}

/// What the shell has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a driver of this incarnation.
    Spawn(Incarnation),
    /// Ask the driver to end; its exit is reported in any case.
    EndDriver(StopMode),
    /// Remove what the login left behind; [`Input::Forgotten`] has to follow.
    ForgetLogin,
    /// Wake up at this time.
    WakeAt(u64),
    /// A stop has come to its end.
    Settled,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    phase: Phase,
    incarnation: Incarnation,
}

impl Default for Session {
    fn default() -> Self {
        Self { phase: Phase::Stopped, incarnation: Incarnation::default() }
    }
}

impl Session {
    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The latest incarnation.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// A driver is alive, or on its way.
    #[must_use]
    pub fn has_driver(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Login | Phase::Working | Phase::Stopping { .. })
    }

    /// What clients see.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.phase {
            Phase::Stopped | Phase::Stopping { then: Then::Stay, .. } | Phase::Forgetting { then: Then::Stay } => {
                Status::Stopped
            }
            Phase::Starting
            | Phase::Stopping { then: Then::Start, .. }
            | Phase::Forgetting { then: Then::Start }
            | Phase::Waiting { open: false, .. } => Status::Starting,
            Phase::Login => Status::ScanQrCode,
            Phase::Working => Status::Working,
            Phase::Parked | Phase::Waiting { open: true, .. } => Status::Failed,
        }
    }

    /// One step. The actions are to be done in order.
    pub fn step(&mut self, input: Input) -> Vec<Action> {
        match input {
            Input::Start => self.start(),
            Input::Stop { mode, then } => self.stop(mode, then),
            Input::WaitOver => match self.phase {
                Phase::Waiting { .. } => self.spawn(),
                _ => vec![],
            },
            Input::DriverLogin(from) => self.report(from, Phase::Login),
            Input::DriverReady(from) => self.report(from, Phase::Working),
            Input::DriverConnecting(from) => self.report(from, Phase::Starting),
            Input::Exited(from, next) if from == self.incarnation => self.exited(next),
            Input::Exited(..) => vec![],
            Input::Forgotten => match self.phase {
                Phase::Forgetting { then } => {
                    self.phase = Phase::Stopped;
                    self.follow(then)
                }
                _ => vec![],
            },
        }
    }

    fn start(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Stopped | Phase::Parked | Phase::Waiting { .. } => self.spawn(),
            Phase::Stopping { mode, then: Then::Stay } => {
                self.phase = Phase::Stopping { mode, then: Then::Start };
                vec![]
            }
            Phase::Forgetting { .. } => {
                self.phase = Phase::Forgetting { then: Then::Start };
                vec![]
            }
            Phase::Starting | Phase::Login | Phase::Working | Phase::Stopping { .. } => vec![],
        }
    }

    fn stop(&mut self, mode: StopMode, then: Then) -> Vec<Action> {
        match self.phase {
            Phase::Stopped | Phase::Parked | Phase::Waiting { .. } => {
                self.phase = Phase::Stopped;
                self.after_end(mode, then)
            }
            Phase::Starting | Phase::Login | Phase::Working => {
                self.phase = Phase::Stopping { mode, then };
                vec![Action::EndDriver(mode)]
            }
            Phase::Forgetting { .. } => {
                self.phase = Phase::Forgetting { then };
                vec![]
            }
            // A later wish replaces what follows, but a logout once asked for stays one.
            Phase::Stopping { mode: before, .. } => {
                let stronger = if before == StopMode::Logout { before } else { mode };
                self.phase = Phase::Stopping { mode: stronger, then };
                if stronger == before { vec![] } else { vec![Action::EndDriver(stronger)] }
            }
        }
    }

    fn exited(&mut self, next: Next) -> Vec<Action> {
        match self.phase {
            Phase::Stopping { mode, then } => {
                self.phase = Phase::Stopped;
                self.after_end(mode, then)
            }
            Phase::Starting | Phase::Login | Phase::Working => match next {
                Next::Finish => {
                    self.phase = Phase::Stopped;
                    vec![Action::Settled]
                }
                Next::Park => {
                    self.phase = Phase::Parked;
                    vec![]
                }
                Next::Wait { until, open } => {
                    self.phase = Phase::Waiting { until, open };
                    vec![Action::WakeAt(until)]
                }
            },
            Phase::Stopped | Phase::Parked | Phase::Forgetting { .. } | Phase::Waiting { .. } => vec![],
        }
    }

    fn after_end(&mut self, mode: StopMode, then: Then) -> Vec<Action> {
        if mode == StopMode::Logout {
            self.phase = Phase::Forgetting { then };
            return vec![Action::ForgetLogin];
        }
        self.follow(then)
    }

    fn follow(&mut self, then: Then) -> Vec<Action> {
        match then {
            Then::Stay => vec![Action::Settled],
            Then::Start => self.spawn(),
        }
    }

    fn spawn(&mut self) -> Vec<Action> {
        self.incarnation = self.incarnation.next();
        self.phase = Phase::Starting;
        vec![Action::Spawn(self.incarnation)]
    }

    fn report(&mut self, from: Incarnation, phase: Phase) -> Vec<Action> {
        if from == self.incarnation && matches!(self.phase, Phase::Starting | Phase::Login | Phase::Working) {
            self.phase = phase;
        }
        vec![]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Input = Input::Stop { mode: StopMode::KeepLogin, then: Then::Stay };

    fn started() -> Session {
        let mut session = Session::default();
        assert_eq!(session.step(Input::Start), [Action::Spawn(Incarnation(1))]);
        session
    }

    #[test]
    fn a_double_start_spawns_one_driver() {
        assert_eq!(started().step(Input::Start), []);
    }

    #[test]
    fn a_stop_while_starting_ends_the_driver_and_settles_after_its_exit() {
        let mut session = started();
        assert_eq!(session.step(KEEP), [Action::EndDriver(StopMode::KeepLogin)]);
        assert_eq!(session.status(), Status::Stopped);
        let exit = Input::Exited(Incarnation(1), Next::Wait { until: 9, open: false });
        assert_eq!(session.step(exit), [Action::Settled]);
        assert_eq!(session.phase(), Phase::Stopped);
    }

    #[test]
    fn a_start_while_stopping_waits_for_the_old_driver() {
        let mut session = started();
        session.step(KEEP);
        assert_eq!(session.step(Input::Start), []);
        assert_eq!(session.step(Input::Exited(Incarnation(1), Next::Finish)), [Action::Spawn(Incarnation(2))]);
    }

    #[test]
    fn reports_of_an_old_incarnation_change_nothing() {
        let mut session = started();
        session.step(Input::Stop { mode: StopMode::KeepLogin, then: Then::Start });
        session.step(Input::Exited(Incarnation(1), Next::Finish));
        let before = session.clone();
        for late in [
            Input::DriverReady(Incarnation(1)),
            Input::DriverLogin(Incarnation(1)),
            Input::Exited(Incarnation(1), Next::Park),
        ] {
            assert_eq!(session.step(late), []);
            assert_eq!(session, before);
        }
    }

    #[test]
    fn a_logout_stays_a_logout_and_forgets_before_it_starts_again() {
        let mut session = started();
        session.step(Input::DriverReady(Incarnation(1)));
        session.step(Input::Stop { mode: StopMode::Logout, then: Then::Start });
        assert_eq!(session.step(KEEP), []);
        assert_eq!(session.step(Input::Exited(Incarnation(1), Next::Finish)), [Action::ForgetLogin]);
        assert_eq!(session.step(Input::Start), [], "nothing starts before the old login is removed");
        assert_eq!(session.step(Input::Forgotten), [Action::Spawn(Incarnation(2))]);
    }
}
