//! The agent of a session that other programs drive: it answers nothing itself and tells the tenant's webhooks.

use super::{Agent, AgentFactory};
use crate::actor::living::Living;
use crate::domain::ids::ChatKey;
use crate::domain::signal::{AgentState, Effect, Signal};
use rand::RngCore;
use std::sync::Arc;

/// The agent.
pub struct Relay {
    living: Arc<Living>,
    chat: ChatKey,
}

/// Makes relays for all chats.
pub struct Relays(pub Arc<Living>);

impl AgentFactory for Relays {
    fn agent(&self, chat: ChatKey) -> Arc<dyn Agent> {
        Arc::new(Relay { living: Arc::clone(&self.0), chat })
    }
}

impl Agent for Relay {
    fn handle(&self, state: &AgentState, signal: &Signal, _: i64, _: &mut dyn RngCore) -> (AgentState, Vec<Effect>) {
        let hooks = self.living.session(self.chat.session_key()).map(|entry| entry.hooks());
        let told = hooks.map(|hooks| hooks.told(signal.names())).unwrap_or_default();
        (state.clone(), told.into_iter().map(|(hook, name)| Effect::Webhook { hook, name }).collect())
    }
}
