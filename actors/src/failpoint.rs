//! Named moments at which a test may break the process, to prove that nothing is lost there.
//!
//! Nothing is armed unless a test says so; an unarmed moment costs one relaxed load. A moment is passed outside of locks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What happens at an armed moment: a panic, an end of the process.
pub type Action = Arc<dyn Fn() + Send + Sync>;

struct Armed {
    name: String,
    /// Passages before the action.
    left: u32,
    /// It happens at each passage from then on.
    always: bool,
    action: Action,
}

static ANY: AtomicBool = AtomicBool::new(false);
static ARMED: Mutex<Vec<Armed>> = Mutex::new(vec![]);

/// Arms the `nth` passage (from 1) of a moment; it happens once.
pub fn arm(name: &str, nth: u32, action: Action) {
    let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
    armed.push(Armed { name: name.to_owned(), left: nth.saturating_sub(1), always: false, action });
    ANY.store(true, Ordering::Release);
}

/// Arms every passage of a moment.
pub fn arm_always(name: &str, action: Action) {
    let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
    armed.push(Armed { name: name.to_owned(), left: 0, always: true, action });
    ANY.store(true, Ordering::Release);
}

/// Whether everything that was armed has happened.
#[must_use]
pub fn all_happened() -> bool {
    ARMED.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
}

/// A moment is passed.
pub fn pass(name: &str) {
    if ANY.load(Ordering::Relaxed) {
        hit(name);
    }
}

fn hit(name: &str) {
    let action = {
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = armed.iter().position(|one| one.name == name) else { return };
        match armed.get_mut(place) {
            Some(one) if one.left > 0 => {
                one.left -= 1;
                return;
            }
            Some(one) if one.always => Arc::clone(&one.action),
            _ => armed.swap_remove(place).action,
        }
    };
    action();
}
