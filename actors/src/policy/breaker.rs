//! The circuit breaker of one session. It is a value that its owner asks; it holds no lock and no timer.

/// Numbers of a breaker, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// How long it stays open the first time.
    pub open_ms: u64,
    /// Longest open time; each failed probe doubles it.
    pub open_cap_ms: u64,
    /// A probe that has not answered by then has failed.
    pub probe_timeout_ms: u64,
}

/// Where the breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Attempts pass.
    Closed,
    /// No attempt passes before this time.
    Open {
        /// Monotonic milliseconds.
        until: u64,
    },
    /// One probe is under way; no other attempt passes.
    HalfOpen {
        /// When the probe counts as failed.
        deadline: u64,
    },
}

impl State {
    /// A stable word for APIs, logs and metric labels.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half_open",
        }
    }
}

/// The breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: State,
    next_open_ms: u64,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: State::Closed, next_open_ms: policy.open_ms }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Opens it; answers until when.
    pub fn trip(&mut self, now: u64) -> u64 {
        let until = now.saturating_add(self.next_open_ms);
        self.next_open_ms = self.next_open_ms.saturating_mul(2).min(self.policy.open_cap_ms);
        self.state = State::Open { until };
        until
    }

    /// Whether an attempt may start now. An open breaker whose time is over lets exactly one through.
    pub fn allow(&mut self, now: u64) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } if now >= until => {
                self.state = State::HalfOpen { deadline: now.saturating_add(self.policy.probe_timeout_ms) };
                true
            }
            State::Open { .. } | State::HalfOpen { .. } => false,
        }
    }

    /// The probe's deadline, while one is under way.
    #[must_use]
    pub fn probe_deadline(&self) -> Option<u64> {
        match self.state {
            State::HalfOpen { deadline } => Some(deadline),
            State::Closed | State::Open { .. } => None,
        }
    }

    /// The attempt succeeded: a probe closes the breaker and the open time starts small again.
    pub fn succeeded(&mut self) {
        if matches!(self.state, State::HalfOpen { .. }) {
            self.reset();
        }
    }

    /// Closes it by hand.
    pub fn reset(&mut self) {
        self.state = State::Closed;
        self.next_open_ms = self.policy.open_ms;
    }
}
