//! What answers in a chat. An agent is a pure function from state and signal to state and effects.

pub mod relay;

use crate::domain::ids::ChatKey;
use crate::domain::signal::{AgentState, Effect, Signal};
use rand::RngCore;
use std::sync::Arc;

/// The contract. An agent has no engine, no transaction, and no chat but its own.
pub trait Agent: Send + Sync + 'static {
    /// Handles one signal. `now` is Unix milliseconds; `rng` is seeded with chat and place, so that a repeat is equal.
    fn handle(&self, state: &AgentState, signal: &Signal, now: i64, rng: &mut dyn RngCore)
    -> (AgentState, Vec<Effect>);
}

/// Makes the agent of a chat.
pub trait AgentFactory: Send + Sync + 'static {
    /// The agent that answers in `chat`.
    fn agent(&self, chat: ChatKey) -> Arc<dyn Agent>;
}
