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

impl Relay {
    /// Whether the session's config names a webhook.
    fn has_webhooks(&self) -> bool {
        let config = self.living.session(self.chat.session_key()).map(|entry| entry.spec().config);
        let config: Option<serde_json::Value> = config.and_then(|text| serde_json::from_str(&text).ok());
        let hooks = config.as_ref().and_then(|config| config.get("webhooks")?.as_array());
        hooks.is_some_and(|hooks| !hooks.is_empty())
    }
}

impl Agent for Relay {
    fn handle(&self, state: &AgentState, signal: &Signal, _: i64, _: &mut dyn RngCore) -> (AgentState, Vec<Effect>) {
        if !self.has_webhooks() {
            return (state.clone(), vec![]);
        }
        let (event, payload) = match signal {
            Signal::Message(message) if message.from_me => ("message.any", serde_json::to_string(message)),
            Signal::Message(message) => ("message", serde_json::to_string(message)),
            Signal::Ack(ack) => ("message.ack", serde_json::to_string(ack)),
        };
        let effect = payload.ok().map(|payload| Effect::Webhook { event: event.to_owned(), payload });
        (state.clone(), effect.into_iter().collect())
    }
}
