//! What the sessions and requests of each tenant did in the last half hour, in steps of ten seconds. It is kept in memory and
//! lost with the server; Prometheus keeps what has to last.

use dashmap::DashMap;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use wardroom_actors::domain::event::{Event, EventKind};
use wardroom_actors::domain::ids::TenantId;
use wardroom_actors::ports::clock::Clock;

/// Length of a step in milliseconds.
const STEP_MS: u64 = 10_000;
/// Steps that are remembered.
const STEPS: u64 = 180;
/// Bounds of request times in milliseconds, each about 1.4 times the one before.
const BOUNDS: [u16; 24] =
    [1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 57, 80, 113, 160, 226, 320, 453, 640, 905, 1280, 1810, 2560, 3620, 5120];

/// What happened in one step.
#[derive(Clone, Default)]
struct Step {
    /// Steps of the clock that nobody sets.
    at: u64,
    received: u32,
    sent: u32,
    requests: u32,
    /// Requests by the bound that they stayed within; those above all bounds count with the last.
    times: [u32; BOUNDS.len()],
}

impl Step {
    /// The bound within which this share of the requests stayed.
    fn quantile(&self, share: f64) -> Option<u16> {
        let wanted = (f64::from(self.requests) * share).ceil();
        let mut seen = 0;
        self.times.iter().zip(BOUNDS).find_map(|(count, bound)| {
            seen += count;
            (self.requests > 0 && f64::from(seen) >= wanted).then_some(bound)
        })
    }
}

/// The recorder.
pub struct Pulse {
    clock: Arc<dyn Clock>,
    tenants: DashMap<TenantId, VecDeque<Step>>,
}

impl Pulse {
    /// One that has heard nothing.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, tenants: DashMap::new() }
    }

    /// The clock's milliseconds, for [`Self::request`].
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Something happened to a session.
    pub fn hear(&self, event: &Event) {
        if let EventKind::Message(message) = &event.kind {
            self.note(event.key.tenant, |step| {
                step.sent += u32::from(message.from_me);
                step.received += u32::from(!message.from_me);
            });
        }
    }

    /// A request of a tenant's that began then was answered.
    pub fn request(&self, tenant: TenantId, begun: u64) {
        let ms = self.clock.now().saturating_sub(begun);
        let place = BOUNDS.iter().position(|bound| ms <= u64::from(*bound)).unwrap_or(BOUNDS.len() - 1);
        self.note(tenant, |step| {
            step.requests += 1;
            if let Some(count) = step.times.get_mut(place) {
                *count += 1;
            }
        });
    }

    fn note(&self, tenant: TenantId, change: impl FnOnce(&mut Step)) {
        let at = self.clock.now() / STEP_MS;
        let mut steps = self.tenants.entry(tenant).or_default();
        if steps.back().is_none_or(|last| last.at < at) {
            steps.push_back(Step { at, ..Step::default() });
        }
        while steps.front().is_some_and(|first| first.at + STEPS <= at) {
            steps.pop_front();
        }
        if let Some(step) = steps.back_mut() {
            change(step);
        }
    }

    /// The last half hour of a tenant as columns, for plots: Unix seconds, messages and requests per second, and within how many
    /// milliseconds half and 99 % of the requests were answered.
    #[must_use]
    pub fn columns(&self, tenant: TenantId) -> Value {
        let (now, unix) = (self.clock.now(), self.clock.unix_ms() / 1000);
        let known = self.tenants.get(&tenant);
        let of = |at: u64| known.as_ref().and_then(|steps| steps.iter().find(|step| step.at == at));
        // Of a server that is younger than half an hour, too: the first steps are before its clock began.
        let ages: Vec<_> = (0..STEPS).rev().collect();
        let at = |age: &u64| (now / STEP_MS).checked_sub(*age);
        let steps: Vec<_> = ages.iter().map(|age| at(age).and_then(of).cloned().unwrap_or_default()).collect();
        let begun = |age: &u64| unix - i64::try_from((now % STEP_MS + age * STEP_MS) / 1000).unwrap_or_default();
        let rate = |count: u32| f64::from(count) * 1000.0 / STEP_MS as f64;
        let column = |value: &dyn Fn(&Step) -> Value| steps.iter().map(value).collect::<Vec<_>>();
        json!({
            "at": ages.iter().map(begun).collect::<Vec<_>>(),
            "received": column(&|step| json!(rate(step.received))),
            "sent": column(&|step| json!(rate(step.sent))),
            "requests": column(&|step| json!(rate(step.requests))),
            "p50Ms": column(&|step| json!(step.quantile(0.5))),
            "p99Ms": column(&|step| json!(step.quantile(0.99))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wardroom_actors::testing::SharedClock;

    #[test]
    fn half_an_hour_is_remembered_in_steps_of_ten_seconds() {
        let clock = SharedClock::default();
        let pulse = Pulse::new(Arc::new(clock.clone()));
        let (one, other) = (TenantId::generate(), TenantId::generate());
        for _ in 0..98 {
            pulse.request(one, pulse.now());
        }
        let begun = pulse.now();
        clock.0.advance(300);
        pulse.request(one, begun);
        pulse.request(one, begun);
        let columns = pulse.columns(one);
        assert_eq!(columns["at"].as_array().unwrap().len(), 180);
        let last = |name: &str| columns[name].as_array().unwrap().last().unwrap().clone();
        assert_eq!((last("requests"), last("p50Ms"), last("p99Ms")), (json!(10.0), json!(1), json!(320)));
        assert_eq!(pulse.columns(other)["requests"][179], 0.0, "another tenant's");
        assert_eq!(pulse.columns(other)["p99Ms"][179], Value::Null);
        clock.0.advance(1_800_000);
        pulse.request(one, pulse.now());
        assert_eq!(pulse.tenants.get(&one).unwrap().len(), 1, "what is older is forgotten");
    }
}
