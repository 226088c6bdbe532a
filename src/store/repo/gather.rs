//! Questions to the database that are answered together: what is asked while an answer is under way goes into the next one,
//! so that the busier the server is, the less each question costs.

use crate::store::{Failure, Store};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use wardroom_actors::ports::{BoxFuture, PortError};

/// Questions that may wait; more wait in front.
const QUEUE: usize = 1024;

/// Who answers.
pub(in crate::store) trait Answering: Default + Send + 'static {
    type Question: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// Questions that are answered at once.
    const GROUP: usize;

    /// An answer for each question, in their order. A failure is the whole group's, and nothing of it happened.
    fn answer(
        &mut self,
        store: &Store,
        questions: &[Self::Question],
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer, PortError>>, Failure>> + Send;
}

type Waiting<A> = (<A as Answering>::Question, oneshot::Sender<Result<<A as Answering>::Answer, PortError>>);

/// The door to whoever answers.
pub(in crate::store) struct Gather<A: Answering> {
    queue: mpsc::Sender<Waiting<A>>,
    waiting: Mutex<Option<mpsc::Receiver<Waiting<A>>>>,
}

impl<A: Answering> Gather<A> {
    pub fn new() -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Self { queue, waiting: Mutex::new(Some(waiting)) }
    }

    /// Asks, when called and not when awaited, as long as there is room. The first question starts the task that answers: an
    /// operator's command may have none.
    pub fn ask(&self, store: &Store, question: A::Question) -> BoxFuture<'static, Result<A::Answer, PortError>> {
        let first = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiting) = first {
            store.spawn(run::<A>(store.clone(), waiting));
        }
        let (answer, hear) = oneshot::channel();
        let refused = self.queue.try_send((question, answer)).err();
        let queue = self.queue.clone();
        Box::pin(async move {
            match refused {
                None => {}
                Some(mpsc::error::TrySendError::Full(item)) => {
                    queue.send(item).await.map_err(|_| PortError::Unavailable)?;
                }
                Some(mpsc::error::TrySendError::Closed(_)) => return Err(PortError::Unavailable),
            }
            hear.await.unwrap_or(Err(PortError::Unavailable))
        })
    }
}

async fn run<A: Answering>(store: Store, mut waiting: mpsc::Receiver<Waiting<A>>) {
    let mut who = A::default();
    while let Some(first) = waiting.recv().await {
        let mut group = vec![first];
        while group.len() < A::GROUP {
            let Ok(next) = waiting.try_recv() else { break };
            group.push(next);
        }
        let (questions, hearers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        // A panic is an error of this group; the next one is answered.
        let outcome = match AssertUnwindSafe(who.answer(&store, &questions)).catch_unwind().await {
            Ok(outcome) => outcome.map_err(PortError::from),
            Err(_) => Err(PortError::Unavailable),
        };
        match outcome {
            Ok(answers) => {
                for (hearer, answer) in hearers.into_iter().zip(answers) {
                    let _ = hearer.send(answer);
                }
            }
            Err(error) => {
                for hearer in hearers {
                    let _ = hearer.send(Err(error));
                }
            }
        }
    }
}
